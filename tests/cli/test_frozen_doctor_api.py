"""The frozen `spiderpool-ipam doctor` and a cluster's API: a real HTTPS server, refusals, exec plugins, secrets."""

import json
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cni.doctor import bundle
from cni.doctor.checks import CHECKS
from tests import requirements
from tests.doctor import proxy_server
from tests.doctor.api_server import GROUPS, ApiServer, Certificates, serving
from tests.doctor.documents import CLUSTER
from tests.doctor.kubeconfigs import config, credential, plugin, write
from tests.doctor.test_cluster import OBJECTS, PATHS, SECRET, planted
from tests.waiting import SLACK

CALLERS = {
    "HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "LANG": "xx_XX.UTF-8", "LANGUAGE": "xx:yy", "LC_ALL": "",
    "LC_CTYPE": "C", "LD_LIBRARY_PATH": "/nonexistent", "LD_": "", "GLIBC_TUNABLES": "", "GCONV_PATH": "/nonexistent",
    "OPENSSL_CONF": "/nonexistent/openssl.cnf", "OPENSSL_MODULES": "/nonexistent", "LOCPATH": "/nonexistent",
    "PYINSTALLER_RESET_ENVIRONMENT": "1", "_PYI_ARCHIVE_FILE": "/nonexistent", "CNI_ARGS": "a=b;c=d", "ß": "\udcff\n",
    "É": "1", "L": "1", "PYTHONPATH": "/nonexistent",
}  # fmt: skip
EXEC = "client.authentication.k8s.io/v1"


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = requirements.need_frozen("spiderpool-ipam")
    return subprocess.run(
        [program, "doctor", "--cluster-only", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", **environment},
        cwd="/",
    )


def results(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr
    return {check["id"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.fixture
def served(api: ApiServer) -> ApiServer:
    for name, path in PATHS.items():
        api.serve(path, *CLUSTER.get(name, []))
    return api


@pytest.fixture
def kubeconfig(tmp_path: Path, served: ApiServer, certificates: Certificates) -> Path:
    return write(tmp_path / "k", config(served, certificates, {"token": SECRET}))


def test_the_guides_cluster_is_read_and_well(kubeconfig: Path, served: ApiServer) -> None:
    done = doctor("--json", KUBECONFIG=str(kubeconfig))
    found = results(done)
    assert (done.returncode, done.stderr) == (0, "")
    of_the_api = [
        check.id
        for check in CHECKS
        if check.part != "node" and not any(name.startswith("node.") or "router" in name for name in check.needs)
    ]
    assert {name for name in of_the_api if found[name]["result"] != "ok"} == set()
    assert {seen.headers["Authorization"] for seen in served.seen} == {f"Bearer {SECRET}"}


def test_what_may_not_be_read_is_not_checked_and_the_rest_is(kubeconfig: Path, served: ApiServer) -> None:
    served.say(PATHS["ip_pools"], (403, {}, {"message": "ippools is forbidden"}))
    done = doctor("--json", "--kubeconfig", str(kubeconfig))
    found = results(done)
    assert done.returncode == 0
    assert found["calico-pool-covers"]["result"] == "not-checked"
    assert "HTTP status 403: ippools is forbidden" in found["calico-pool-covers"]["because"]
    assert found["calico-version"]["result"] == "ok"


def test_where_nothing_may_be_read_nothing_could_be_checked(
    tmp_path: Path, api: ApiServer, certificates: Certificates
) -> None:
    for path in ("/apis", *PATHS.values()):
        api.say(path, (403, {}, {"message": "no"}))
    done = doctor("-o", "short", "--kubeconfig", str(write(tmp_path / "k", config(api, certificates))))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_server_that_hangs_is_not_waited_for(kubeconfig: Path, served: ApiServer) -> None:
    def hang(_: object) -> Any:
        served.stopping.wait(60)
        return 200, {}, {}

    served.answers[PATHS["ip_pools"]] = hang
    started = time.monotonic()
    done = doctor("--json", "--only", "calico-pool-covers", "--kubeconfig", str(kubeconfig))
    assert time.monotonic() - started < 12 + SLACK  # 10 s without a byte
    assert results(done)["calico-pool-covers"]["result"] == "not-checked"
    assert done.returncode == 3


@pytest.mark.parametrize(
    "variables",
    [
        {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"},
        {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.0/8"},
        {"all_proxy": "socks5://127.0.0.1:1"},
    ],
)
def test_a_server_on_loopback_is_asked_without_the_environments_proxy(
    tmp_path: Path, certificates: Certificates, variables: dict[str, str]
) -> None:
    with serving(None) as plain:
        plain.say("/apis", (200, {}, GROUPS))
        kubeconfig = write(tmp_path / "k", config(plain, certificates))
        done = doctor("--json", "--only", "sp-api", "--kubeconfig", str(kubeconfig), **variables)
    assert results(done)["sp-api"]["result"] == "ok"


def test_another_server_is_asked_by_the_environments_proxy(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    kubeconfig = write(tmp_path / "k", config(served, certificates, server="https://api.example"))
    with proxy_server.running(served.port) as proxy:
        done = doctor("--json", "--only", "sp-api", "--kubeconfig", str(kubeconfig), https_proxy=proxy.url)
    assert results(done)["sp-api"]["result"] == "ok"
    assert proxy.asked == ["CONNECT api.example:443"]


def environment_given(folder: Path, api: ApiServer, certificates: Certificates, told: Mapping[str, str]) -> Any:
    """Run doctor with an exec plugin that writes its environment down; return that, by name."""
    target = folder / "environment"
    # A shell would add variables of its own to what a child of it has.
    plugin(folder, f"cat \"/proc/$$/environ\" >{target}; echo '{credential(token='t')}'")
    user = {"exec": {"apiVersion": EXEC, "command": "./login"}}
    path = write(folder / "k", config(api, certificates, user))
    done = subprocess.run(
        [requirements.need_frozen("spiderpool-ipam"), "doctor", "--cluster-only", "--json", "--kubeconfig", path],
        env=told,
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert results(done)["calico-version"]["result"] == "ok", done.stdout
    lines = target.read_bytes().decode(errors="surrogateescape").split("\0")
    return dict(line.split("=", 1) for line in lines if line)


def test_an_exec_plugin_gets_the_callers_environment_as_it_was(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    given = environment_given(tmp_path, served, certificates, CALLERS)
    assert json.loads(given.pop("KUBERNETES_EXEC_INFO"))["kind"] == "ExecCredential"
    assert given == CALLERS
    assert {seen.headers["Authorization"] for seen in served.seen} == {"Bearer t"}


def test_an_exec_plugin_gets_nothing_that_the_launcher_has_added(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    told = {"PATH": "/usr/bin:/bin"}
    assert environment_given(tmp_path, served, certificates, told).keys() == {"PATH", "KUBERNETES_EXEC_INFO"}


def test_no_secret_of_the_api_or_of_the_access_gets_into_a_bundle(
    tmp_path: Path, served: ApiServer, certificates: Certificates
) -> None:
    for name, objects in OBJECTS.items():
        served.serve(PATHS[name], *(planted(one) for one in objects))
    plugin(tmp_path, f"echo {SECRET} >&2; echo '{credential(token=SECRET)}'")
    user = {"exec": {"apiVersion": EXEC, "command": "./login", "env": [{"name": "X", "value": SECRET}]}}
    kubeconfig = write(tmp_path / "k", config(served, certificates, user))
    path = tmp_path / "b.tar.gz"
    done = doctor("--json", "--bundle", str(path), "--kubeconfig", str(kubeconfig), TOKEN=SECRET, LD_X=SECRET)
    assert SECRET not in done.stdout
    facts: Any = bundle.read(path)
    for name, objects in OBJECTS.items():
        assert len(facts["cluster"][name]) == len(objects), name
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file
            assert SECRET.encode() not in file.read(), member.name
