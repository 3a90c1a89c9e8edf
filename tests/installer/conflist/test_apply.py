import os
import stat

import pytest

from cni.contracts.installation import Record
from cni.installer.conflist import record
from cni.installer.conflist.apply import apply
from cni.installer.conflist.document import ConflistError
from cni.installer.node.atomic_file import ChangedError
from cni.installer.node.folders import Folders
from tests.installer.conflist.writes import planned, reconciled, refusing, restored
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED
from tests.installer.sample_node import COPY, Node


def test_in_place_only_the_value_changes_and_what_it_was_is_kept(node: Node) -> None:
    assert reconciled(node).message == "ipam.type is calico-ipam"
    assert node.conflist.read_text() == SWAPPED
    assert (node.record.original, node.record.file) == (
        '{ "type": "calico-ipam" }',
        "/etc/cni/net.d/10-calico.conflist",
    )


def test_a_second_time_nothing_is_written(node: Node) -> None:
    reconciled(node)
    before = {path: path.stat().st_mtime_ns for path in node.conf.iterdir()}
    assert reconciled(node).message == ""
    assert {path: path.stat().st_mtime_ns for path in node.conf.iterdir()} == before


def test_a_copy_sorts_first_holds_the_same_network_and_is_private(node: Node) -> None:
    node.conflist.chmod(0o644)
    reconciled(node, as_name=COPY)
    assert node.conflist.read_text() == CALICO
    assert node.copy.read_text() == SWAPPED
    assert stat.S_IMODE(node.copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in node.conf.glob("[0-9]*"))[0] == COPY


@pytest.mark.parametrize("first", ["", COPY])
@pytest.mark.parametrize("then", ["", COPY, "04-x.conflist"])
def test_from_one_way_to_the_other_and_back_to_the_beginning(node: Node, first: str, then: str) -> None:
    reconciled(node, as_name=first)
    reconciled(node, as_name=then)
    expected = {"10-calico.conflist": CALICO if then else SWAPPED, **({then: SWAPPED} if then else {})}
    assert {name: data.decode() for name, data in node.files().items() if name != record.NAME} == expected
    assert reconciled(node, as_name=then).message == ""
    restored(node)
    assert node.conflist.read_text() == CALICO
    assert {path.name for path in node.conf.iterdir()} == {"10-calico.conflist", record.NAME}


def test_of_a_link_the_target_is_replaced_inside_the_nodes_root(node: Node) -> None:
    (node.root / "etc/real").mkdir()
    node.conflist.rename(node.root / "etc/real/calico")
    node.conflist.symlink_to("/etc/real/calico")
    reconciled(node)
    assert node.record.file == "/etc/cni/net.d/10-calico.conflist"
    assert os.readlink(node.conflist) == "/etc/real/calico"  # noqa: PTH115
    assert (node.root / "etc/real/calico").read_text() == SWAPPED
    restored(node)
    assert (node.root / "etc/real/calico").read_text() == CALICO


def test_what_calico_writes_meanwhile_is_what_gets_swapped(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment is made by the one thing that happens in it: writing the record."""
    write = record.write
    newer = CALICO.replace('"mtu": 0', '"mtu": 1450')

    def write_and_be_overtaken(folders: Folders, new: Record) -> None:
        write(folders, new)
        if node.conflist.read_text() == CALICO:
            node.write(newer)

    monkeypatch.setattr(record, "write", write_and_be_overtaken)
    reconciled(node)
    assert node.conflist.read_text() == SWAPPED.replace('"mtu": 0', '"mtu": 1450')


def test_one_that_is_written_all_the_time_is_given_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "write", lambda *_: node.write(f"{node.conflist.read_text()} "))
    with pytest.raises(ConflistError, match="being written all the time"):
        reconciled(node)
    assert node.ipam() == {"type": "calico-ipam"}


def test_a_first_swap_that_fails_leaves_no_record_of_one(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(node.conflist, monkeypatch)
    for _ in range(2):
        with pytest.raises(OSError, match="busy"):
            reconciled(node)
        assert record.read(node.folders) is None
    monkeypatch.undo()
    assert reconciled(node).is_first
    assert node.record.drift_count == 0


def test_a_repair_that_fails_is_not_counted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    reconciled(node)
    before = node.record
    node.write()
    refusing(node.conflist, monkeypatch)
    for _ in range(2):
        with pytest.raises(OSError, match="busy"):
            reconciled(node)
    assert node.record == before
    monkeypatch.undo()
    reconciled(node)
    assert node.record.drift_count == 1


def test_a_swap_that_was_not_recorded_to_its_end_is_still_the_first(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = record.write

    def killed(folders: Folders, new: Record) -> None:
        if new.since:
            raise KeyboardInterrupt
        write(folders, new)

    monkeypatch.setattr(record, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        reconciled(node)
    monkeypatch.undo()
    assert (node.conflist.read_text(), node.record.is_in_force) == (SWAPPED, False)
    assert reconciled(node).is_first
    assert node.record.is_in_force
    restored(node)
    assert node.conflist.read_text() == CALICO


@pytest.mark.parametrize("then", ["", "04-x.conflist"])
def test_a_file_of_others_in_the_place_of_a_former_copy_is_left(node: Node, then: str) -> None:
    reconciled(node, as_name=COPY)
    node.copy.write_text('{"name": "admin", "plugins": [{"type": "bridge"}]}')
    reconciled(node, as_name=then)
    assert "admin" in node.copy.read_text()
    assert reconciled(node, as_name=then).message == ""


@pytest.mark.parametrize("name", ["10-calico.conflist", "20-new.conflist"])
@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_plan_is_not_applied_to_another_folder_than_it_was_made_from(node: Node, as_name: str, name: str) -> None:
    made = planned(node, as_name=as_name)
    (node.conf / name).write_text(NEWER)
    before = node.files()
    with pytest.raises(ChangedError):
        apply(made)
    assert node.files() == before


def test_what_was_planned_is_what_is_written(node: Node) -> None:
    made = planned(node, settings={"log_level": "info"})
    apply(made)
    assert node.conflist.read_bytes() == made.target.after
    assert node.record.values == [made.our_ipam]
