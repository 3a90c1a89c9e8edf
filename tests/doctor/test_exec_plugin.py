"""Exec plugins of a kubeconfig, as real processes."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.api_objects import Named
from cni.deadline import Deadline
from cni.doctor.collect.kube import Kube, page_of
from cni.doctor.collect.kubeconfig import AccessError, find
from tests.doctor.api_server import ApiServer, Certificates, Seen
from tests.doctor.kubeconfigs import config, credential, plugin, write
from tests.waiting import SLACK, wait_for

PATH = "/api/v1/nodes"
GROUP = "client.authentication.k8s.io"


def run(folder: Path, api: ApiServer, certificates: Certificates, seconds: float = 20, **more: Any) -> None:
    told = {"apiVersion": f"{GROUP}/v1", "command": "./login", **more}
    path = write(folder / "k", config(api, certificates, {"exec": told}))
    kube = Kube(find(path, "", {}), Deadline(seconds))
    try:
        kube.list(PATH, page_of(Named))
    finally:
        kube.close()


@pytest.mark.parametrize("more", [{"args": ["a\0b"]}, {"env": [{"name": "A=B", "value": ""}]}])
def test_what_no_program_can_be_given_is_told(
    tmp_path: Path, api: ApiServer, certificates: Certificates, more: Any
) -> None:
    plugin(tmp_path, "exit 1")
    with pytest.raises(AccessError, match="arguments or variables that no program can have"):
        run(tmp_path, api, certificates, **more)


def test_one_that_prints_without_an_end_is_ended(tmp_path: Path, api: ApiServer, certificates: Certificates) -> None:
    plugin(tmp_path, "exec yes")
    with pytest.raises(AccessError, match="login prints more than 1 MiB"):
        run(tmp_path, api, certificates)


def test_one_that_leaves_a_child_with_its_output_takes_it_along(
    tmp_path: Path, api: ApiServer, certificates: Certificates
) -> None:
    plugin(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child")
    with pytest.raises(AccessError, match="has not ended"):
        run(tmp_path, api, certificates, seconds=1)
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not is_running(child), "the child to be gone")


def is_running(process: int) -> bool:
    path = Path(f"/proc/{process}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def served(api: ApiServer) -> ApiServer:
    api.serve(PATH)
    return api


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_the_token_that_it_prints_is_sent(
    tmp_path: Path, served: ApiServer, certificates: Certificates, version: str
) -> None:
    plugin(tmp_path, f"echo '{credential(version, token='fresh')}'")
    run(tmp_path, served, certificates, apiVersion=f"{GROUP}/{version}")
    assert served.seen[0].headers["Authorization"] == "Bearer fresh"


def test_the_certificate_that_it_prints_is_shown(tmp_path: Path, served: ApiServer, certificates: Certificates) -> None:
    key = certificates.client.with_suffix(".key").read_text()
    printed = credential(clientCertificateData=certificates.client.read_text(), clientKeyData=key)
    (tmp_path / "out").write_text(printed)
    plugin(tmp_path, 'cat "$1"')
    run(tmp_path, served, certificates, args=[str(tmp_path / "out")])
    assert served.seen[0].client == "jane"


def test_it_gets_arguments_variables_and_on_demand_the_cluster(
    tmp_path: Path, served: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLERS", "own")
    plugin(
        tmp_path,
        f'echo "$KUBERNETES_EXEC_INFO" >info; echo "$1 $EXTRA $CALLERS" >said\necho \'{credential(token="t")}\'',
    )
    monkeypatch.chdir(tmp_path)
    run(
        tmp_path,
        served,
        certificates,
        args=["one"],
        env=[{"name": "EXTRA", "value": "two"}],
        provideClusterInfo=True,
    )
    info = json.loads((tmp_path / "info").read_text())
    assert (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (f"{GROUP}/v1", "ExecCredential", False)
    assert info["spec"]["cluster"]["server"] == served.url
    assert info["spec"]["cluster"]["certificate-authority-data"]
    assert (tmp_path / "said").read_text() == "one two own\n"


def test_it_is_run_anew_where_its_token_is_over(tmp_path: Path, api: ApiServer, certificates: Certificates) -> None:
    def answer(seen: Seen) -> Any:
        is_new = seen.headers["Authorization"] == "Bearer 2"
        return (200, {}, {"items": []}) if is_new else (401, {}, {"message": "expired"})

    api.answers[PATH] = answer
    counter = tmp_path / "runs"
    plugin(tmp_path, f"echo x >>{counter}; n=$(wc -l <{counter})\necho '{credential(token='N')}' | sed s/N/$n/")
    run(tmp_path, api, certificates)
    assert counter.read_text().count("x") == 2


@pytest.mark.parametrize(
    ("script", "more", "text"),
    [
        ("exit 3", {}, "login has ended with status 3"),
        ("echo s3cr3t", {}, "has printed no ExecCredential"),
        ("true", {}, "has printed no ExecCredential"),
        (f"echo '{credential('v1beta1', token='s3cr3t')}'", {}, "was asked for"),
        ("true", {"apiVersion": f"{GROUP}/v1alpha1"}, "only v1 and v1beta1"),
        ("true", {"interactiveMode": "Always"}, "log in with kubectl first"),
        ("true", {"command": "no-such-program", "installHint": "get it at x"}, "is not installed. get it at x"),
    ],
)
def test_what_is_wrong_with_it_is_told_and_what_it_prints_is_not(
    tmp_path: Path, served: ApiServer, certificates: Certificates, script: str, more: Any, text: str
) -> None:
    plugin(tmp_path, script)
    with pytest.raises(AccessError) as error:
        run(tmp_path, served, certificates, **more)
    assert text in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_one_that_hangs_is_ended_with_its_children(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    plugin(tmp_path, f"sleep 60 & echo $! >{tmp_path}/child; wait")
    started = time.monotonic()
    with pytest.raises(AccessError, match="has not ended"):
        run(tmp_path, served, certificates, seconds=1)
    assert time.monotonic() - started < 1 + SLACK
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not is_alive(child), "the plugin's child to end")


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_of_the_path_is_found(
    tmp_path: Path, served: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    plugin(tmp_path / "bin", f"echo '{credential(token='t')}'", "on-the-path")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    run(tmp_path, served, certificates, command="on-the-path")
    assert len(served.seen) == 1
