"""Plugin and operator program run in every place: all vectors, the embedded agent, attach, install and watch."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni.cni_versions import SUPPORTED
from tests.agent.agent_process import Agent, pool, write_pools
from tests.installer.sample_conflists import CALICO
from tests.portability.place import Place
from tests.portability.places import NOBODY, PLACES, SLOW
from tests.test_vectors import assert_ours_holds
from tests.vectors import Vector, load, run
from tests.waiting import wait_for

# Six vectors take 3 s each, because CHECK retries. They come first, so that they wait at the same time.
VECTORS = sorted(load(), key=lambda vector: vector.environment.get("CNI_COMMAND") != "CHECK")
AT_A_TIME = 8


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PLACES]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with PLACES[request.param]() as place:
        yield place


@pytest.mark.slow
def test_every_vector_holds(place: Place, show: Callable[[str], None], request: pytest.FixtureRequest) -> None:
    def complaint(vector: Vector) -> str:
        try:
            assert_ours_holds(vector, run(vector, place.call_plugin))
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"{vector.name}: {error}"
        return ""

    started = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        complaints = list(filter(None, threads.map(complaint, VECTORS)))
    assert not complaints, "\n".join([f"{len(complaints)} of {len(VECTORS)} vectors failed", *complaints[:5]])
    show(f"{request.node.callspec.id}: {len(VECTORS)} vectors in {time.monotonic() - started:.0f} s")


def test_both_programs_tell_what_they_speak(place: Place) -> None:
    done = place.run(place.operator, "version", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["cniVersions"] == list(SUPPORTED)
    done = place.run(place.plugin, environ={"CNI_COMMAND": "VERSION"})
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["supportedVersions"] == list(SUPPORTED)


def test_the_probing_of_addresses_starts_there(place: Place) -> None:
    """It ends at the pod's namespace, because not every place's user has the right to enter one."""
    request = {"netns": "/nowhere", "ifname": "eth0", "addresses": []}
    done = place.run(place.operator, "detect", stdin=json.dumps(request).encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert (json.loads(done.stdout)["code"], json.loads(done.stdout)["details"][:9]) == (8, "/nowhere:")


@contextmanager
def shared_folder(place: Place) -> Iterator[Path]:
    """Make a folder that belongs to the place's user and has the same path inside and outside."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, place.uid, place.uid)
        yield Path(folder)


@contextmanager
def agent_in(place: Place, folder: Path) -> Iterator[Agent]:
    """Run the embedded agent in the place."""
    pools = write_pools(folder / "pools.yaml", pool("v4", "10.244.100.10-10.244.100.20", default=True))
    options = ["--socket", f"{folder}/agent.sock", "--pool", str(pools), "--state", f"{folder}/state"]
    command = place.command(place.operator, "agent", *options)
    with (
        (folder / "agent.log").open("w") as log,
        subprocess.Popen(command, env={}, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert "serving 1 pool" in line, (folder / "agent.log").read_text()
            yield Agent(process, folder / "agent.sock", line)
        finally:
            process.terminate()


def test_attach_and_the_embedded_agent_work_together(place: Place) -> None:
    with shared_folder(place) as folder, agent_in(place, folder) as agent:
        ipam = {"type": "spiderpool", "ipam_unix_socket_path": f"{folder}/agent.sock", "log_file_path": f"{folder}/log"}
        plugins = [{"type": "calico", "ipam": ipam}]
        conflist = folder / "10-calico.conflist"
        conflist.write_text(json.dumps({"cniVersion": "1.1.0", "name": "k8s-pod-network", "plugins": plugins}))

        def attach(command: str, *options: str) -> str:
            network = ["--conf", str(conflist), "--cni-path", place.bin]
            done = place.run(place.operator, "attach", command, *network, *options)
            assert (done.returncode, done.stderr) == (0, ""), (done.stdout, (folder / "agent.log").read_text())
            return done.stdout

        pod = ["--pod", "default/web-0", "--pod-uid", "u-1", "--state", f"{folder}/attach"]
        assert attach("status") == "status: ok\n"
        assert "10.244.100.10/32" in attach("add", *pod)
        assert [held["ipv4"] for held in agent.allocations()] == ["10.244.100.10/16"]
        assert attach("check", *pod) == "check: ok\n"
        assert attach("del", *pod) == "del: ok\n"
        assert agent.allocations() == []
        attach("add", *pod)
        assert attach("gc", "--keep-none") == "gc: ok\n"
        assert agent.allocations() == []
        assert json.loads((folder / "log").read_text().splitlines()[0])["command"] == "STATUS"
        assert agent.stop() == 0
        assert not agent.socket_path.exists()


def test_install_watch_status_and_uninstall_work_there(place: Place) -> None:
    with shared_folder(place) as folder:
        for name in ("opt/cni/bin", "etc/cni/net.d"):
            (folder / name).mkdir(parents=True)
        conflist = folder / "etc/cni/net.d/10-calico.conflist"
        conflist.write_text(CALICO)
        subprocess.run(["chown", "-R", f"{place.uid}:{place.uid}", folder], check=True)

        def call(*arguments: str, status: int = 0) -> str:
            done = place.run(place.operator, *arguments, "--host-root", str(folder))
            assert done.returncode == status, done
            return done.stdout + done.stderr

        assert "swapped (ipam.type is calico-ipam)" in call("install", "--wait-agent", "0")
        assert json.loads(conflist.read_text())["plugins"][0]["ipam"] == {"type": "spiderpool"}
        assert "there is no such socket" in call("status", status=1)
        ready = folder / "ready"
        command = place.command(place.operator, "watch", "--readiness-file", str(ready), "--host-root", str(folder))
        with subprocess.Popen(command, env={}, stderr=subprocess.PIPE, text=True) as watch:
            wait_for(ready.exists, "watch")
            conflist.write_text(CALICO)
            wait_for(lambda: '"spiderpool"' in conflist.read_text(), "the conflist to be swapped again", 1)
            watch.terminate()
            said = watch.communicate(timeout=10)[1]
        assert "swapped /etc/cni/net.d/10-calico.conflist again" in said
        call("uninstall")
        assert conflist.read_text() == CALICO
        assert not list((folder / "opt/cni/bin").iterdir())


@pytest.mark.parametrize(
    ("name", "folders"), [("empty", {"bin", "opt", "proc", "tmp"}), ("empty-without-proc", {"bin", "opt", "tmp"})]
)
def test_the_empty_chroots_hold_busybox_and_the_bundle_and_nothing_else(name: str, folders: set[str]) -> None:
    with PLACES[name]() as place:
        assert {path.name for path in place.root.iterdir()} == folders
        assert [path.name for path in (place.root / "bin").iterdir()] == ["busybox"]
        assert {path.name for path in (place.root / place.bin[1:]).iterdir()} == {
            "spiderpool",
            "spiderpool-ipam",
            "install.sh",
            "_internal",
            "licenses",
            "sbom.cdx.json",
            "SHA256SUMS",
            "share",
        }
        assert place.run("/bin/busybox", "test", "-e", "/proc/self").returncode == ("proc" not in folders)


@pytest.mark.parametrize(("name", "release"), [("debian-11", "11"), ("debian-13", "13")])
@pytest.mark.slow
def test_the_other_debians_are_what_they_are_called(name: str, release: str) -> None:
    with PLACES[name]() as place:
        assert f'VERSION_ID="{release}"' in place.run("/bin/cat", "/etc/os-release").stdout.splitlines()


def test_the_user_among_the_traps_is_nobody_and_can_write_no_bundle() -> None:
    with PLACES["trapped"]() as place:
        assert place.run("/bin/busybox", "id").stdout == f"uid={NOBODY} gid={NOBODY}\n"
        place.uid = 0
        assert "Read-only" in place.run("/bin/busybox", "touch", f"{place.bin}/x").stderr
