"""A damaged bundle that is installed again: killed anywhere, on a full or read-only disk, and by a real watch."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer.bundle import plugin_links as bundle
from tests import requirements
from tests.installer.sample_node import Node
from tests.installer.test_failures import run_with_mounts
from tests.installer.test_kills import CALLS, calls_of, traced
from tests.installer.test_watch import Watch, until

DRIVER = """
import sys
from pathlib import Path
from cni.installer.bundle import plugin_links
from tests.installer.sample_node import Node
node = Node(Path(sys.argv[1]))
plugin_links.reconcile(node.bin, node.tree, "1.0.0")
"""


def damaged(root: Path) -> tuple[Node, list[str]]:
    """Return a node whose bundle lacks a folder and has a file too many, and the command that mends that."""
    node = Node(root)
    node.install()
    folder = node.plugin.resolve().parent
    shutil.rmtree(folder / "_internal")
    (folder / "stray").touch()
    return node, [sys.executable, "-c", DRIVER, str(root)]


def test_killed_anywhere_the_next_run_completes(tmp_path: Path, show: Callable[[str], None]) -> None:
    counts = calls_of(damaged(tmp_path / "count")[1], tmp_path / "log")
    assert counts["rename"] >= 1
    assert counts["fsync"] >= 1
    for call, count in counts.items():
        for when in range(1, count + 1):
            node, command = damaged(tmp_path / f"{call}-{when}")
            kill = f"--inject={call}:signal=SIGKILL:when={when}"
            assert traced(command, tmp_path / "log", f"--trace={call}", kill).returncode == -signal.SIGKILL
            assert node.plugin.exists()
            node.install()
            assert bundle.fault(node.bin) == ""
            assert len(bundle.bundles(node.bin)) == 1
    show(f"re-installation: killed before each of {counts.total()} calls of {len(counts)} kinds")


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EIO"])
def test_where_it_cannot_be_written_the_next_run_completes(error: str, tmp_path: Path) -> None:
    node, command = damaged(tmp_path / "node")
    done = traced(command, tmp_path / "log", f"--trace={','.join(CALLS)}", f"--inject=rename:error={error}")
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert bundle.drift(node.bin) == "removed"
    bundle.reconcile(node.bin, node.tree, "1.0.0")
    assert bundle.fault(node.bin) == ""


def test_on_a_read_only_disk_status_verifies_what_is_there(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.run("install", "--wait-agent", "0").returncode == 0
    read_only = "mount --bind opt/cni/bin opt/cni/bin; mount -o remount,bind,ro opt/cni/bin"
    assert "spiderpool is damaged" not in run_with_mounts(node, read_only, "status").stderr
    (node.bin / ".spiderpool/current/_internal/base_library.zip").unlink()
    assert (
        "spiderpool is damaged: _internal/base_library.zip is missing"
        in run_with_mounts(node, read_only, "status").stderr
    )


def test_a_real_watch_brings_back_what_was_removed_from_its_release(tmp_path: Path) -> None:
    requirements.need_frozen("spiderpool-ipam")
    node = Node(tmp_path)
    assert node.run("install", "--wait-agent", "0").returncode == 0
    watch = Watch(node)
    try:
        until(watch.ready.exists, 10)
        time.sleep(0.7)  # the check after arming
        folder = node.plugin.resolve().parent
        (folder / "_internal").rename(node.root / "away")
        node.plugin.unlink()  # an event, so that nobody has to wait for the full check
        until(lambda: bundle.fault(node.bin) == "", 5)
    finally:
        watch.stop()
    assert "spiderpool is ours again: it, or a file of its bundle, was removed" in watch.said
