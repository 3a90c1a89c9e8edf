"""podman runs the container image with the manifests' mounts, rights and arguments. A folder is the node."""

import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.agent.agent_process import pool, running_agent, write_pools
from tests.build import manifests
from tests.build.releases import VERSION, link_tarball, make_image
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Node

IMAGE = f"spiderpool-ipam:{VERSION}"  # as the manifests have it


class Podman:
    """podman with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._command = [
            requirements.need_program("podman"), "--storage-driver=vfs", f"--root={folder}/root",
            f"--runroot={folder}/run", f"--tmpdir={folder}/tmp", "--cgroup-manager=cgroupfs", "--events-backend=none",
        ]  # fmt: skip

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._command, *arguments], capture_output=True, text=True, timeout=120)

    def run(self, node: Node, spec: dict[str, Any], container: dict[str, Any], *options: str) -> Any:
        """Run a container of a pod as the kubelet would."""
        for mount in manifests.node_mounts(spec, container):
            (node.root / mount.node.relative_to("/")).mkdir(parents=True, exist_ok=True)
        return self(
            "run", *options, *_rights(spec, container), *_mounts(node, spec, container), IMAGE, *container["args"]
        )


def _rights(spec: dict[str, Any], container: dict[str, Any]) -> list[str]:
    security = container["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    return [
        "--read-only", "--read-only-tmpfs=false", "--security-opt=no-new-privileges",
        *(f"--cap-drop={name}" for name in security["capabilities"]["drop"]),
        *(f"--cap-add={name}" for name in security["capabilities"].get("add", [])),
        f"--user={spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}",
        f"--memory={container['resources']['limits']['memory'].removesuffix('i')}",
        "--network=host" if spec["hostNetwork"] else "--network=none",
        # podman's own limits may be higher than this machine allows.
        "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
    ]  # fmt: skip


def _mounts(node: Node, spec: dict[str, Any], container: dict[str, Any]) -> list[str]:
    folders = [
        f"--volume={node.root}{mount.node}:{mount.container}:{'ro' if mount.read_only else 'rw'}"
        for mount in manifests.node_mounts(spec, container)
    ]
    empty = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
    return folders + [f"--tmpfs={one['mountPath']}" for one in container["volumeMounts"] if one["name"] in empty]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    requirements.need_root()
    dist, arch = tmp_path_factory.mktemp("dist"), {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    link_tarball(dist, arch)
    archive = make_image(dist, arch)
    # podman refuses a run root whose path has more than 50 characters.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="podman.") as folder:
        podman = Podman(Path(folder))
        done = podman("pull", "--quiet", f"oci-archive:{archive}")
        assert done.returncode == 0, done.stderr
        yield podman
        podman("rm", "--all", "--force", "--time=0")


@pytest.fixture
def with_agent(node: Node) -> Iterator[Node]:
    """Make a node whose agent answers at the usual place."""
    folder = node.root / "var/run/spidernet"
    folder.mkdir(parents=True)
    pools = write_pools(node.root / "pools.yaml", pool("v4", "10.244.100.10-10.244.100.200"))
    with running_agent(folder, pools, name="spiderpool.sock"):
        yield node


def eventually(condition: Any, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(holds)


def test_it_holds_the_release_and_runs_the_operator_program(podman: Podman) -> None:
    done = podman("run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", IMAGE)
    assert "Operate spiderpool" in done.stdout + done.stderr
    inspected = podman("image", "inspect", "--format={{.Config.Labels}} {{.Config.Env}}", IMAGE).stdout
    assert "org.opencontainers.image.title:spiderpool-ipam" in inspected


def test_the_daemonset_installs_and_holds_and_the_other_gives_back(podman: Podman, with_agent: Node) -> None:
    node, spec = with_agent, manifests.pod_spec("install")
    install, (watch,) = manifests.init_container(spec, "install"), spec["containers"]
    (node.bin / "spiderpool").write_text("another's")
    for expected in (", installed", "unchanged"):  # a pod that is restarted runs it again
        done = podman.run(node, spec, install, "--rm")
        assert (done.returncode, expected in done.stdout) == (0, True), done.stderr
    assert (node.ipam(node.copy), node.ipam()) == ({"type": "spiderpool"}, {"type": "calico-ipam"})
    assert node.answers()

    assert podman.run(node, spec, watch, "--detach", "--name=watch").returncode == 0
    probe = ("exec", "watch", *watch["readinessProbe"]["exec"]["command"])
    assert eventually(lambda: podman(*probe).returncode == 0), podman("logs", "watch").stderr
    node.copy.unlink()
    assert eventually(node.copy.exists), podman("logs", "watch").stderr
    node.write(CALICO.replace("calico-ipam", "host-local"))
    podman("stop", f"--time={spec['terminationGracePeriodSeconds']}", "watch")
    # Any other status would mean that podman killed it after that time.
    assert podman("inspect", "--format={{.State.ExitCode}}", "watch").stdout.strip() == "0"
    assert node.answers()

    spec = manifests.pod_spec("uninstall")
    done = podman.run(node, spec, spec["initContainers"][0], "--rm")
    assert done.returncode == 0, done.stderr
    assert not node.copy.exists()
    assert (node.bin / "spiderpool").read_text() == "another's"
    assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]

    # The container that stays so that the pod is ready changes nothing, and ends on SIGTERM.
    assert podman.run(node, spec, spec["containers"][0], "--detach", "--name=done").returncode == 0
    assert eventually(lambda: podman("logs", "done").stdout)
    assert podman("inspect", "--format={{.State.Running}}", "done").stdout.strip() == "true"
    podman("stop", "--time=5", "done")
    assert podman("inspect", "--format={{.State.ExitCode}}", "done").stdout.strip() == "0"


def test_doctor_tells_what_does_not_hold_yet_and_stops_nothing(podman: Podman, node: Node) -> None:
    spec = manifests.pod_spec("install")
    before = sorted(node.root.rglob("*"))
    done = podman.run(node, spec, manifests.init_container(spec, "doctor"), "--rm")
    assert (done.returncode, done.stderr) == (0, "")
    assert "node-agent" in done.stdout
    assert "there is no such socket" in done.stdout
    assert {path for path in node.root.rglob("*") if path.is_file()} == {path for path in before if path.is_file()}


def test_a_failed_install_says_in_one_line_what_to_do(podman: Podman, node: Node) -> None:
    """The kubelet shows this line as the pod's termination message."""
    node.write(CALICO.replace("calico-ipam", "dhcp"))
    spec = manifests.pod_spec("install")
    done = podman.run(node, spec, manifests.init_container(spec, "install"), "--rm")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "its ipam.type is 'dhcp'" in done.stderr
