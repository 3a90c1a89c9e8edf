"""The capabilities in manifests and unit suffice where the node's files belong to other users, and all are needed."""

import os
import re
import subprocess

import pytest

from tests import requirements
from tests.build import manifests
from tests.installer.sample_node import Node
from tests.requirements import ROOT

NEEDED = ("CHOWN", "DAC_OVERRIDE", "FOWNER")


@pytest.fixture
def node_of_others(node: Node) -> Node:
    """Give the node's files to several users, as some installers of clusters do."""
    requirements.need_root()
    node.plugin.write_text("another's")
    for path, user in ((node.bin, 1000), (node.conf, 1000), (node.conflist, 1001), (node.plugin, 1002)):
        os.chown(path, user, user)
        path.chmod(0o755 if path.is_dir() else 0o4750 if path == node.plugin else 0o640)
    return node


def with_rights(node: Node, rights: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    bounding = ",".join(["-all", *(f"+{name.lower()}" for name in rights)])
    setpriv = [requirements.need_program("setpriv"), "--no-new-privs", "--inh-caps=-all", f"--bounding-set={bounding}"]
    return subprocess.run([*setpriv, *node.command(*arguments)], capture_output=True, text=True, timeout=60)


def test_with_them_it_installs_and_gives_back_what_is_others(node_of_others: Node) -> None:
    node = node_of_others
    done = with_rights(node, NEEDED, "install", "--wait-agent=0")
    assert (done.returncode, node.ipam()) == (0, {"type": "spiderpool"}), done.stderr
    status = node.conflist.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1001, 1001, 0o640)
    done = with_rights(node, NEEDED, "uninstall")
    assert (done.returncode, node.ipam()) == (0, {"type": "calico-ipam"}), done.stderr
    assert (node.plugin.stat().st_uid, node.plugin.read_text()) == (1002, "another's")


@pytest.mark.parametrize("missing", NEEDED)
def test_without_one_of_them_it_says_so_and_leaves_the_conflist(missing: str, node_of_others: Node) -> None:
    node = node_of_others
    rights = tuple(name for name in NEEDED if name != missing)
    done = with_rights(node, rights, "install", "--wait-agent=0")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (node.ipam(), [path.name for path in node.conf.glob("*.conflist")]) == (
        {"type": "calico-ipam"}, ["10-calico.conflist"],
    )  # fmt: skip


def test_manifests_and_unit_give_these() -> None:
    for name in manifests.NAMES:
        spec = manifests.pod_spec(name)
        for container in [*spec["initContainers"], *spec["containers"]]:
            added = container["securityContext"]["capabilities"].get("add", [])
            assert added == ([] if container["name"] == "doctor" else list(NEEDED))  # it writes nothing
    unit = re.search(r"^CapabilityBoundingSet=(.*)$", (ROOT / "build/unit.sh").read_text(), re.MULTILINE)
    assert unit
    assert unit[1].split() == [f"CAP_{name}" for name in NEEDED]
