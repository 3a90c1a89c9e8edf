"""What a node's file system can refuse, with the frozen program: one line that says what to do, nothing half done."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import requirements
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import COPY, Node


def run_with_mounts(node: Node, mounts: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the operator program in a mount namespace of its own, after `mounts`, a line of shell."""
    requirements.need_root()
    script = f'cd "{node.root}"; {mounts}; exec "$@"'
    command = ["unshare", "--mount", "--propagation=private", "sh", "-euc", script, "sh", *node.command(*arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def assert_untouched(node: Node) -> None:
    assert node.conflist.read_text() == CALICO
    assert {path.name for path in node.conf.iterdir()} <= {"10-calico.conflist", ".spiderpool-ipam.swap"}


INSTALL = ("install", "--wait-agent", "0")


def test_a_folder_of_plugins_without_room_is_told_before_anything_changes(node: Node) -> None:
    done = run_with_mounts(node, "mount -t tmpfs -o size=1m tmpfs opt/cni/bin", *INSTALL)
    assert_refused(done, "/opt/cni/bin has 1 MiB left, the bundle takes", "make room")
    assert_untouched(node)


def test_a_folder_of_conflists_without_room_is_told(node: Node) -> None:
    mounts = "mount -t tmpfs -o size=1m tmpfs etc/cni/net.d; cp conflist etc/cni/net.d/10-calico.conflist"
    fill = "cat /dev/zero >etc/cni/net.d/filler 2>/dev/null || true"
    keep = "trap 'ls -A etc/cni/net.d >left; cat etc/cni/net.d/10-calico.conflist >after' EXIT"
    (node.root / "conflist").write_text(CALICO)
    requirements.need_root()
    command = " ".join(f"'{word}'" for word in node.command(*INSTALL))
    script = f'cd "{node.root}"; {mounts}; {fill}; {keep}; {command}'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_refused(done, "/etc/cni/net.d/.spiderpool-ipam.swap: No space left on device: make room there")
    assert (node.root / "left").read_text().split() == ["10-calico.conflist", "filler"]
    assert (node.root / "after").read_text() == CALICO


@pytest.mark.parametrize("folder", ["opt/cni/bin", "etc/cni/net.d"])
def test_a_read_only_folder_is_told_before_anything_changes(node: Node, folder: str) -> None:
    done = run_with_mounts(node, f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}", *INSTALL)
    assert_refused(done, folder, "cannot be written", "mounted writable")
    assert_untouched(node)
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_a_conflist_that_is_a_mount_point_is_told_and_a_copy_is_the_way_out(node: Node) -> None:
    mount = "mount --bind etc/cni/net.d/10-calico.conflist etc/cni/net.d/10-calico.conflist"
    assert_refused(run_with_mounts(node, mount, *INSTALL), "10-calico.conflist", "Device or resource busy", "--as")
    assert_untouched(node)
    assert run_with_mounts(node, mount, *INSTALL, "--as", COPY).returncode == 0
    assert node.ipam(node.copy) == {"type": "spiderpool"}


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    requirements.need_root()
    if subprocess.run([requirements.need_program("chattr"), "+i", path], capture_output=True).returncode:
        requirements.missing(f"{path.parent} is on a file system without attributes")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


def test_an_immutable_conflist_is_told(node: Node) -> None:
    with immutable(node.conflist):
        done = node.run(*INSTALL)
    assert_refused(done, "10-calico.conflist", "Operation not permitted", "chattr -i")
    assert_untouched(node)
    assert node.run(*INSTALL).returncode == 0


@pytest.fixture
def open_node() -> Iterator[Node]:
    """A node and a bundle in folders that everybody may read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(requirements.need_frozen("spiderpool-ipam").parent, f"{folder}/bundle")
        yield Node(Path(folder) / "root")


def run_as_nobody(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    requirements.need_root()
    nobody = [requirements.need_program("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    program = f"{node.root.parent}/bundle/spiderpool-ipam"
    return subprocess.run(
        [*nobody, program, *arguments, "--host-root", str(node.root)], capture_output=True, text=True, timeout=60
    )


def test_without_root_it_is_told(open_node: Node) -> None:
    assert_refused(run_as_nobody(open_node, *INSTALL), "cannot be written: run as root")
    assert_untouched(open_node)


def test_status_without_root_says_so(open_node: Node) -> None:
    assert open_node.run(*INSTALL).returncode == 0
    done = run_as_nobody(open_node, "status")
    assert done.returncode == 1
    assert "Permission denied: run as root" in done.stderr


def test_a_dry_run_shows_the_difference_and_needs_no_root(open_node: Node) -> None:
    done = run_as_nobody(open_node, "install", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert '-    {"type":"calico", "mtu": 0,   "ipam": { "type": "calico-ipam" },' in done.stdout.splitlines()
    assert '+    {"type":"calico", "mtu": 0,   "ipam": {"type": "spiderpool"},' in done.stdout.splitlines()
    assert_untouched(open_node)
    assert "nothing would change" not in done.stdout
