"""Which folders the unit has to let watch write to. tests/build/test_real_systemd.py shows that they are enough."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.contracts.installation import RECORD, Desired, Record
from cni.installer.conflist import record
from cni.installer.errors import InstallerError
from cni.installer.node.folders import resolve_folders
from cni.installer.node.host_root import HostRoot
from cni.installer.written import refused_folders, writable_folders
from tests import requirements
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Microk8sNode, Node

STATE = "/var/lib/spiderpool-ipam"


def test_they_are_the_parents_of_the_folders_and_the_state(node: Node) -> None:
    assert writable_folders(node.folders) == ["/etc/cni", "/opt/cni", STATE]


def test_they_are_never_the_whole_node(node: Node) -> None:
    folders = resolve_folders(HostRoot(node.root), "/bin", "/net.d")
    assert writable_folders(folders) == ["/net.d", "/bin", STATE]


def test_a_link_that_moves_to_its_neighbour_has_them_all(tmp_path: Path) -> None:
    assert "/var/snap/microk8s" in writable_folders(Microk8sNode(tmp_path / "node").folders)


def test_only_the_conflist_of_ours_takes_the_folder_that_it_leads_to(node: Node) -> None:
    for name in ("10-calico.conflist", "99-other.conf"):
        (node.root / name).mkdir()
        (node.root / name / "file").write_text(CALICO if "calico" in name else '{"type": "other"}')
        (node.conf / name).unlink(missing_ok=True)
        (node.conf / name).symlink_to(f"/{name}/file")
    (node.conf / "98-circle.conf").symlink_to("98-circle.conf")
    node.install()
    assert writable_folders(node.folders) == ["/etc/cni", "/opt/cni", "/10-calico.conflist", STATE]


@pytest.mark.parametrize("name", ["a\nb", "a\udcff"])
def test_a_name_that_a_unit_cannot_hold_is_refused(name: str, node: Node) -> None:
    (node.root / name / "net.d").mkdir(parents=True)
    node.conflist.rename(node.root / name / "net.d/10-calico.conflist")
    node.conf.rmdir()
    node.conf.symlink_to(f"/{name}/net.d")
    with pytest.raises(InstallerError, match="a unit cannot name the folder"):
        writable_folders(node.folders)


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[int]:
    """Start a process for which one folder is read-only, and a link leads there."""
    requirements.need_root()
    (tmp_path / "net.d").symlink_to(tmp_path / "real")
    for name in ("real", "bin"):
        (tmp_path / name).mkdir()
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && echo ready && exec cat'
    command = [requirements.need_program("unshare"), "--mount", "sh", "-c", script, str(tmp_path / "real")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        yield process.pid


def test_what_a_process_cannot_write_to_is_told_as_the_process_sees_it(confined: int, tmp_path: Path) -> None:
    folders = resolve_folders(HostRoot(), str(tmp_path / "bin"), str(tmp_path / "net.d"))
    assert refused_folders(folders, confined) == [str(tmp_path / "net.d")]


def test_the_folder_of_a_recorded_conflist_is_told_as_well(confined: int, tmp_path: Path) -> None:
    """--conf may have named one outside of the folder of network configurations."""
    (tmp_path / "conf").mkdir()
    swapped = Record(Desired(conf=str(tmp_path / "net.d/x.conflist")), str(tmp_path / "net.d/x.conflist"))
    (tmp_path / "conf" / record.NAME).write_bytes(RECORD.dump_json(swapped, by_alias=True))
    folders = resolve_folders(HostRoot(), str(tmp_path / "bin"), str(tmp_path / "conf"))
    assert refused_folders(folders, confined) == [str(tmp_path / "real")]


def test_a_process_that_has_ended_is_told(node: Node) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(InstallerError, match="watch has ended"):
        refused_folders(node.folders, process.pid)
