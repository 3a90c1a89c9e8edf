"""Where the API is, and who asks it: as kubectl finds it out, with real files."""

import base64
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.api_objects import Named
from cni.deadline import Deadline
from cni.doctor.collect import kubeconfig
from cni.doctor.collect.kube import Kube, page_of
from cni.doctor.collect.kubeconfig import AccessError, find
from tests.doctor.api_server import ApiServer, Certificates
from tests.doctor.kubeconfigs import config, write

PATH = "/api/v1/nodes"


def ask(path: Path, *, context: str = "") -> None:
    kube = Kube(find(path, context, {}), Deadline(20))
    try:
        kube.list(PATH, page_of(Named))
    finally:
        kube.close()


def fault(environment: dict[str, str], path: Path | None = None, context: str = "") -> str:
    with pytest.raises(AccessError) as error:
        find(path, context, environment)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def served(api: ApiServer) -> ApiServer:
    api.serve(PATH)
    return api


def minimal(server: str, **more: Any) -> dict[str, Any]:
    return {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        **more,
    }


def test_the_option_comes_before_the_variable_and_that_before_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    home = write(tmp_path / ".kube/config", minimal("https://home"))
    named = write(tmp_path / "named", minimal("https://variable"))
    option = write(tmp_path / "option", minimal("https://option"))
    environment = {"HOME": str(tmp_path), "KUBECONFIG": str(named)}
    assert find(option, "", environment).server == "https://option"
    assert find(None, "", environment).server == "https://variable"
    assert find(None, "", {"HOME": str(tmp_path)}).server == "https://home"
    assert home.exists()


def test_of_several_files_the_first_to_name_something_wins_and_missing_ones_do_not_matter(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"clusters": [{"name": "c", "cluster": {"server": "https://first"}}], "users": None})
    second = write(tmp_path / "b", minimal("https://second"))
    environment = {"KUBECONFIG": f"{tmp_path}/missing::{first}:{second}"}
    assert find(None, "", environment).server == "https://first"


def test_a_context_may_be_chosen(tmp_path: Path) -> None:
    content = minimal("https://x")
    content["contexts"].append({"name": "y", "context": {"cluster": "d", "user": "missing"}})
    content["clusters"].append({"name": "d", "cluster": {"server": "https://y/"}})
    path = write(tmp_path / "k", content)
    assert find(path, "y", {}).server == "https://y"
    assert fault({}, path, "z") == f"{path}: there is no context 'z'"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "no current context"),
        (minimal("https://x", clusters=[]), "there is no cluster 'c'"),
        (minimal(""), "has no server"),
        ([1], "Input should be"),
        (minimal("https://x", clusters=3), "clusters: Input should be a valid list"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, content: Any, text: str) -> None:
    assert text in fault({}, write(tmp_path / "k", content))


def test_a_file_that_is_no_yaml_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("a: b\n  token: s3cr3t: x\n")
    assert fault({}, path) == f"{path}: not YAML at line 2"


@pytest.mark.parametrize("text", ["x: !!bool y", "x: !!timestamp y", "x: 2026-99-99", "[" * 5000])
def test_what_yaml_stumbles_over_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    assert fault({}, tmp_path / "k").startswith(f"{tmp_path}/k: not YAML")


def test_without_any_kubeconfig_that_is_said(tmp_path: Path) -> None:
    assert "--node-only" in fault({"HOME": str(tmp_path)})
    assert "context 'x'" in fault({"HOME": str(tmp_path)}, None, "x")


def test_a_pods_service_account_is_used_where_there_is_no_kubeconfig(
    tmp_path: Path, served: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-the-pod\n")
    (tmp_path / "ca.crt").write_text(certificates.ca.read_text())
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(served.port)}
    kube = Kube(find(None, "", environment), Deadline(20))
    kube.list(PATH, page_of(Named))
    kube.close()
    assert served.seen[0].headers["Authorization"] == "Bearer from-the-pod"


def test_files_are_looked_for_beside_the_kubeconfig(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).write_bytes((certificates.ca.parent / name).read_bytes())
    user = {"client-certificate": "client.pem", "client-key": "client.key"}
    ask(write(tmp_path / "k", config(served, certificates, user, **{"certificate-authority": "ca.pem"})))
    assert served.seen[0].client == "jane"


def test_data_in_the_kubeconfig_wins_over_files(tmp_path: Path, served: ApiServer, certificates: Certificates) -> None:
    def data(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    user = {
        "client-certificate-data": data(certificates.client),
        "client-key-data": data(certificates.client.with_suffix(".key")),
        "client-key": "missing",
    }
    ask(
        write(
            tmp_path / "k", config(served, certificates, user, **{"certificate-authority-data": data(certificates.ca)})
        )
    )
    assert served.seen[0].client == "jane"


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ({"client-certificate": "missing"}, "No such file"),
        ({"client-key-data": "%"}, "not PEM in base64"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({"as-groups": ["system:masters"]}, "without `as`"),
    ],
)
def test_a_user_that_cannot_be_used_is_told(
    tmp_path: Path, served: ApiServer, certificates: Certificates, user: Any, text: str
) -> None:
    assert text in fault({}, write(tmp_path / "k", config(served, certificates, user)))


def test_a_key_that_is_none_is_told_without_being_quoted(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    user = {name: base64.b64encode(b"s3cr3t").decode() for name in ("client-certificate-data", "client-key-data")}
    with pytest.raises(AccessError, match="a certificate or key of the kubeconfig") as error:
        ask(write(tmp_path / "k", config(served, certificates, user)))
    assert "s3cr3t" not in str(error.value)


def test_a_token_file_is_read_anew_for_each_request(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    path = write(tmp_path / "k", config(served, certificates, {"token": "old", "tokenFile": "token"}))
    kube = Kube(find(path, "", {}), Deadline(20))
    for token in ("one", "two"):
        (tmp_path / "token").write_text(f"{token}\n")
        kube.list(PATH, page_of(Named))
    kube.close()
    assert [seen.headers["Authorization"] for seen in served.seen] == ["Bearer one", "Bearer two"]


def test_name_and_password_are_sent(tmp_path: Path, served: ApiServer, certificates: Certificates) -> None:
    ask(write(tmp_path / "k", config(served, certificates, {"username": "jane", "password": "x"})))
    assert served.seen[0].headers["Authorization"] == "Basic " + base64.b64encode(b"jane:x").decode()


def test_who_asks_as_somebody_else_does_so_here_too(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    user = {"as": "jane", "as-uid": "7", "as-groups": ["ops", "dev"], "as-user-extra": {"example.org/a": ["x"]}}
    ask(write(tmp_path / "k", config(served, certificates, {"token": "t", **user})))
    sent = {name: value for name, value in served.seen[0].headers.items() if name.startswith("Impersonate-")}
    assert sent == {
        "Impersonate-User": "jane", "Impersonate-Uid": "7", "Impersonate-Group": "ops, dev",
        "Impersonate-Extra-example.org%2Fa": "x",
    }  # fmt: skip
    ask(write(tmp_path / "k", config(served, certificates, {"as": "", "as-groups": None})))
    assert not [name for name in served.seen[1].headers if name.startswith("Impersonate-")]


def test_the_proxy_is_used(tmp_path: Path, served: ApiServer, certificates: Certificates) -> None:
    path = write(tmp_path / "k", config(served, certificates, {}, **{"proxy-url": "http://127.0.0.1:1"}))
    with pytest.raises(Exception, match="Connection refused"):
        ask(path)
    assert served.seen == []
