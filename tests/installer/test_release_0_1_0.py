"""Release 0.1.0 and this one on the same node, in turn: neither loses what the other has kept.

0.1.0 runs from its own sources, out of git.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cni.contracts.installation import Request
from cni.installer.install import install
from cni.installer.node import installed
from tests import requirements
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import COPY, SILENT_AGENT, Node

COMMIT = "365a9f1"  # what was released as 0.1.0
POOL = {"default_ipv4_ippool": ["blue"]}

INSTALL = """
import functools, json, sys
from pathlib import Path
from cni.installer import folders, install
from cni.installer.record import Asked
root, tree, asked = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
find = functools.partial(folders.find, root, None, None, "calico")
print(install.install(tree, "0.1.0", find, Asked(**asked), 0, print).why)
"""
UNINSTALL = """
import json, sys
from pathlib import Path
from cni.installer import folders, install
left = int(sys.argv[2])
done = install.uninstall(folders.find(Path(sys.argv[1]), None, None, "calico"), lambda: left)
print(json.dumps(done.plugin_stays))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of 0.1.0."""
    folder = tmp_path_factory.mktemp("0.1.0")
    git = requirements.need_program("git")
    archive = subprocess.run([git, "archive", COMMIT, "cni"], cwd=requirements.ROOT, capture_output=True)
    if archive.returncode:
        requirements.missing(f"git has no commit {COMMIT} here, which is release 0.1.0")
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


class Former:
    """Release 0.1.0 on a node."""

    def __init__(self, sources: Path, node: Node) -> None:
        self._sources = sources
        self._node = node

    def install(self, **asked: object) -> str:
        return self._run(INSTALL, str(self._node.tree), json.dumps(asked))

    def uninstall(self, pending: int = 0) -> list[str]:
        stays: list[str] = json.loads(self._run(UNINSTALL, str(pending)))
        return stays

    def _run(self, script: str, *arguments: str) -> str:
        command = [sys.executable, "-c", script, str(self._node.root), *arguments]
        done = subprocess.run(command, cwd=self._sources, capture_output=True, text=True, timeout=60)
        assert not done.returncode, done.stderr
        return done.stdout.strip()


@pytest.fixture
def former(sources: Path, node: Node) -> Former:
    return Former(sources, node)


def upgrade(node: Node) -> list[str]:
    return install(node.tree, "1.0.0", lambda: node.folders, Request(), 0, lambda _: None).options


def pending_line(node: Node) -> Path:
    line = node.folders.state / "pending/net~u1~eth0.release"
    line.parent.mkdir(parents=True)
    line.write_text('{"time":1,"socketPath":"/run/hangs.sock","release":{}}\n')
    return line


def test_what_0_1_0_was_asked_for_stays_there_and_back_and_there_again(node: Node, former: Former) -> None:
    former.install(as_name=COPY, settings=POOL)
    line, before = pending_line(node), node.copy.read_text()
    options = [f"--as {COPY}", '--set default_ipv4_ippool=["blue"]']
    assert upgrade(node) == options
    assert former.install(as_name=COPY, settings=POOL) == "", "0.1.0 finds what it would have written"
    assert upgrade(node) == options
    assert (node.copy.read_text(), node.conflist.read_text(), line.exists()) == (before, CALICO, True)


def test_in_place_either_gives_the_others_conflist_back(node: Node, former: Former) -> None:
    former.install(settings=POOL)
    upgrade(node)
    assert node.uninstall().plugin_stays == []
    assert (node.conflist.read_text(), node.plugin.exists()) == (CALICO, False)
    upgrade(node)
    assert node.conflist.read_text() == SWAPPED
    assert former.uninstall() == []
    assert (node.conflist.read_text(), node.plugin.exists()) == (CALICO, False)
    assert installed.read(node.folders.state) is None, "no copy of the record stays that would swap the node again"


def test_an_uninstall_by_0_1_0_that_kept_the_plugin_is_not_undone(node: Node, former: Former) -> None:
    upgrade(node)
    assert former.uninstall(pending=2) == ["2 releases are pending"]
    assert node.record.restored
    assert node.uninstall().plugin_stays == []
    assert node.conflist.read_text() == CALICO


def test_pending_lines_hold_either_uninstall_and_are_lost_by_none(node: Node, former: Former) -> None:
    former.install()
    line = pending_line(node)
    upgrade(node)
    (reason,) = node.uninstall(pending=1).plugin_stays
    assert str(SILENT_AGENT.releases) in reason
    assert former.uninstall(pending=1) == ["1 releases are pending"]
    assert line.exists()


def test_what_0_1_0_does_not_know_of_keeps_its_uninstall_from_removing_the_plugin(node: Node, former: Former) -> None:
    first = node.conf / "02-istio-cni.conflist"
    first.write_text(CALICO)
    (node.bin / "istio-cni").touch()
    mesh = json.loads(CALICO)
    mesh["plugins"].append({"type": "istio-cni"})
    first.write_text(json.dumps(mesh))
    upgrade(node)
    assert node.ipam(first) == {"type": "spiderpool"}
    assert former.uninstall() == ["/etc/cni/net.d/02-istio-cni.conflist names it"]
    assert node.answers()
    assert node.uninstall().plugin_stays == []  # this release finds what 0.1.0 has left, though its record says nothing
    assert node.ipam(first) == {"type": "calico-ipam"}
