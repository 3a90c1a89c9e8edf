"""What the chart runs on a node installs there and restores it, with nothing of the node but what the chart mounts."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import requirements
from tests.build import chart, manifests
from tests.build.chart import Object
from tests.installer.sample_conflists import CALICO
from tests.waiting import SLACK, wait_for

USUAL = {"bin": "/opt/cni/bin", "conf": "/etc/cni/net.d"}
SNAP = "var/snap/microk8s"
COPY = "05-spiderpool-calico.conflist"


class Platform:
    """A node with a platform's folders, and the containers that the chart runs on it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.root, self.host = name, folder / "node", folder / "host"
        named = dict(one.lstrip("-").split("=", 1) for one in self._container("watch")["args"][1:])
        self.names: dict[str, str] = {kind: named.get(f"cni-{kind}-dir", usual) for kind, usual in USUAL.items()}
        if name == "microk8s":
            for below in ("opt/cni/bin", "args/cni-network"):
                (self.root / SNAP / "1" / below).mkdir(parents=True)
            (self.root / SNAP / "current").symlink_to("1")
        for path in (self.bin, self.conf):
            path.mkdir(parents=True, exist_ok=True)
        (self.bin / "calico").touch()
        (self.conf / "10-calico.conflist").write_text(CALICO)

    @property
    def bin(self) -> Path:
        return self.root / self.names["bin"].lstrip("/")

    @property
    def conf(self) -> Path:
        return self.root / self.names["conf"].lstrip("/")

    def ipam(self, name: str) -> str:
        found: str = json.loads((self.conf / name).read_text())["plugins"][0]["ipam"]["type"]
        return found

    def command(self, container: str, mode: str = "as") -> list[str]:
        """Return what the kubelet would run: in a mount namespace with what the container has mounted."""
        spec = chart.pod_spec({"platform": self.name, "mode": mode})
        found = self._container(container, mode)
        lines = ["set -e", f"mount -t tmpfs none {self.host}"]
        for node, inside, read_only in manifests.node_mounts(spec, found):
            origin, place = self.root / node.relative_to("/"), self.host / inside.relative_to("/host")
            words = [shlex.quote(str(origin)), shlex.quote(str(place))]
            lines += [f"mkdir -p {' '.join(words)}", f"mount --bind {' '.join(words)}"]
            lines += [f"mount -o remount,bind,ro {words[1]}"] * read_only
        self.host.mkdir(exist_ok=True)
        wanted = {"--host-root=/host": f"--host-root={self.host}", "--wait-agent=10m": "--wait-agent=0"}
        arguments = [wanted.get(one, one) for one in found["args"]]
        ready = f"--readiness-file={self.root.parent}/ready"
        arguments = [ready if one.startswith("--readiness-file=") else one for one in arguments]
        program = str(requirements.need_frozen("spiderpool-ipam"))
        unshare = [requirements.need_program("unshare"), "--mount", "--propagation=private"]
        return [*unshare, "sh", "-c", "\n".join([*lines, 'exec "$@"']), "sh", program, *arguments]

    def run(self, container: str, mode: str = "as") -> None:
        done = subprocess.run(self.command(container, mode), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    @contextmanager
    def watching(self) -> Iterator[None]:
        log = self.root.parent / "watch.log"
        with log.open("wb") as stream, subprocess.Popen(self.command("watch"), stderr=stream) as process:
            try:
                wait_for((self.root.parent / "ready").exists, f"watch to be ready: {log}")
                yield
            finally:
                process.terminate()
                process.wait(20 + SLACK)

    def _container(self, name: str, mode: str = "as") -> Object:
        spec = chart.pod_spec({"platform": self.name, "mode": mode})
        (found,) = [one for one in manifests.containers(spec) if one["name"] == name]
        return found


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    requirements.need_root()
    requirements.need_frozen("spiderpool-ipam")
    return Platform(tmp_path, getattr(request, "param", "microk8s"))


@pytest.mark.parametrize(
    "platform",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "openshift")) for name in chart.PLATFORMS],
    indirect=True,
)
def test_it_installs_and_restores_in_the_folders_of_the_platform(platform: Platform) -> None:
    platform.run("doctor")
    platform.run("install")
    assert (platform.ipam(COPY), platform.ipam("10-calico.conflist")) == ("spiderpool", "calico-ipam")
    platform.run("install", "in-place")
    assert (platform.ipam("10-calico.conflist"), (platform.conf / COPY).exists()) == ("spiderpool", False)
    kept = json.loads((platform.root / "var/lib/spiderpool-ipam/folders").read_text())
    assert {kept["bin"], kept["conf"]} == set(platform.names.values()), "status on the node itself finds it by these"
    with platform.watching():
        (platform.conf / "10-calico.conflist").write_text(CALICO)
        wait_for(lambda: platform.ipam("10-calico.conflist") == "spiderpool", "the conflist to be swapped again")
    platform.run("uninstall", "uninstall")
    assert (platform.conf / "10-calico.conflist").read_text() == CALICO
    assert {path.name for path in (*platform.bin.iterdir(), *platform.conf.iterdir())} == {
        "calico", "10-calico.conflist",
    }  # fmt: skip


def test_a_refresh_of_microk8s_is_seen_from_within_the_container(platform: Platform) -> None:
    snap = platform.root / SNAP
    platform.run("install", "in-place")
    with platform.watching():
        subprocess.run(["cp", "-a", snap / "1", snap / "2"], check=True, timeout=60)
        (snap / "2/args/cni-network/10-calico.conflist").write_text(CALICO)
        (snap / "next").symlink_to("2")
        (snap / "next").rename(snap / "current")
        wait_for(lambda: platform.ipam("10-calico.conflist") == "spiderpool", "the new folder's conflist to be swapped")


def test_containers_and_probe_take_the_memory_that_the_chart_states(platform: Platform) -> None:
    text = (chart.FOLDER / "values.yaml").read_text()
    stated = re.search(r"(\d+) MB for `doctor`, (\d+) MB for `install` and `watch`, (\d+) MB for the probe", text)
    assert stated
    probe = [str(requirements.need_frozen("spiderpool-ipam")), "status", f"--readiness-file={platform.root / 'none'}"]
    commands = platform.command("doctor"), platform.command("install"), probe
    for megabytes, command in zip(map(int, stated.groups()), commands, strict=True):
        assert 0.85 * megabytes < peak(command, platform.root.parent / "peak") < 1.15 * megabytes, command


def peak(command: list[str], file: Path) -> float:
    """Return the most memory that a command had, in MB."""
    time = [requirements.need_program("time"), "--format=%M", f"--output={file}"]
    subprocess.run([*time, *command], capture_output=True, timeout=60)
    return float(file.read_text().split()[-1]) * 1024 / 1e6
