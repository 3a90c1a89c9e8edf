"""A folder that is removed while a container has it mounted: the container sees it still, and not the one made anew."""

import shutil
import subprocess
import sys

import pytest

from tests import requirements
from tests.installer.sample_node import Node
from tests.installer.watch_process import ROOT
from tests.waiting import SLACK, wait_for

MOUNTED = ("opt/cni/bin", "etc/cni", "var/lib/spiderpool-ipam", "var/run/spidernet")


class Container:
    """What has these folders of a node mounted, as a pod of the DaemonSet has them."""

    def __init__(self, node: Node, *folders: str) -> None:
        requirements.need_root()
        self.seen = Node(node.root.with_name("host"))
        binds = [f"mount --bind {node.root / folder} {self.seen.root / folder}" for folder in folders]
        for folder in folders:
            for root in (node.root, self.seen.root):
                (root / folder).mkdir(parents=True, exist_ok=True)
        unshare = (requirements.need_program("unshare"), "--mount", "--propagation=private")
        self.under = (*unshare, "sh", "-ec", "\n".join([*binds, 'exec "$@"']), "sh")


@pytest.mark.parametrize("folder", MOUNTED)
def test_watch_ends_to_be_started_with_the_folder_that_is_there_now(node: Node, folder: str) -> None:
    node.install()
    container, ready = Container(node, *MOUNTED), node.root / "ready"
    command = [*container.under, *container.seen.command("watch", "--readiness-file", str(ready))]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            wait_for(ready.exists, "watch to be ready")
            shutil.rmtree(node.root / folder)
            for made in (node.root / folder, node.conf):
                made.mkdir(parents=True, exist_ok=True)
            node.write()  # the file event makes a check due
            wait_for(lambda: process.poll() is not None, "watch to end")
        finally:
            process.kill()
        said = process.communicate(timeout=10 + SLACK)[1].decode()
    assert process.returncode == 1
    assert f"to be started anew: it sees what was /{folder}" in said


def test_the_log_in_such_a_folder_is_told_as_not_mounted(node: Node) -> None:
    node.install()
    container, log = Container(node, *MOUNTED, "var/log/spidernet"), node.root / "var/log/spidernet"
    script = f"""
from pathlib import Path
from cni.installer.call_log import find_log
from cni.installer.discovery import find_folders
from cni.installer.node.host_root import HostRoot
folders = find_folders(HostRoot(Path({str(container.seen.root)!r})), "/opt/cni/bin", "/etc/cni/net.d", "calico")
found = [find_log(folders, {{}})[1]]
log = Path({str(log)!r})
log.rmdir()
log.mkdir()
print(found, find_log(folders, {{}})[1])
"""
    command = [*container.under, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[''] not_mounted\n", "")
