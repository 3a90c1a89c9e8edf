import os
import stat
from pathlib import Path

import pytest

from cni.installer import record, swap
from cni.installer.conflist import ConflistError
from cni.installer.record import Asked
from tests.installer.node import COPY, Node
from tests.installer.test_conflist import CALICO

SWAPPED = CALICO.replace('{ "type": "calico-ipam" }', '{"type": "spiderpool"}')


def hold(node: Node, **asked: object) -> swap.Plan:
    return swap.hold(node.folders, Asked(**asked), record.read(node.conf))[0]  # type: ignore[arg-type]


def give_back(node: Node, *, force: bool = False) -> list[str]:
    return swap.give_back(node.folders, node.record, force=force)


def test_in_place_only_the_value_changes_and_what_it_was_is_kept(node: Node) -> None:
    assert hold(node).why == "ipam.type is calico-ipam"
    assert node.conflist.read_text() == SWAPPED
    assert (node.record.original, node.record.file) == (
        '{ "type": "calico-ipam" }',
        "/etc/cni/net.d/10-calico.conflist",
    )


def test_a_second_time_nothing_is_written(node: Node) -> None:
    hold(node)
    before = {path: path.stat().st_mtime_ns for path in node.conf.iterdir()}
    assert hold(node).why == ""
    assert {path: path.stat().st_mtime_ns for path in node.conf.iterdir()} == before


def test_what_was_undone_is_counted_and_its_value_kept_anew(node: Node) -> None:
    hold(node)
    node.write(CALICO.replace('{ "type": "calico-ipam" }', '{"type":"host-local"}'))
    assert hold(node).is_undone
    assert (node.record.reverts, node.record.original) == (1, '{"type":"host-local"}')
    give_back(node)
    assert node.ipam() == {"type": "host-local"}


def test_other_settings_are_no_revert(node: Node) -> None:
    hold(node)
    assert hold(node, settings={"log_level": "info"}).why == "its settings differ"
    assert (node.ipam()["log_level"], node.record.reverts) == ("info", 0)


def test_giving_back_restores_every_byte(node: Node) -> None:
    hold(node)
    give_back(node)
    assert node.conflist.read_text() == CALICO


def test_what_has_changed_since_is_kept_but_for_our_value(node: Node) -> None:
    hold(node)
    node.write(SWAPPED.replace('"mtu": 0', '"mtu": 1450'))
    assert "has changed since" in give_back(node)[0]
    assert node.conflist.read_text() == CALICO.replace('"mtu": 0', '"mtu": 1450')


def test_what_is_not_ours_any_more_is_left(node: Node) -> None:
    hold(node)
    node.write()
    assert "left" in give_back(node)[0]
    assert node.conflist.read_text() == CALICO


def test_a_copy_sorts_first_holds_the_same_network_and_is_private(node: Node) -> None:
    node.conflist.chmod(0o644)
    hold(node, as_name=COPY)
    assert node.conflist.read_text() == CALICO
    assert node.copy.read_text() == SWAPPED
    assert stat.S_IMODE(node.copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in node.conf.glob("[0-9]*"))[0] == COPY


def test_a_copy_follows_its_source(node: Node) -> None:
    hold(node, as_name=COPY)
    node.write(CALICO.replace('"mtu": 0', '"mtu": 1450'))
    planned = hold(node, as_name=COPY)
    assert (planned.is_undone, planned.why) == (False, "10-calico.conflist has changed, or the settings have")
    assert node.copy.read_text() == SWAPPED.replace('"mtu": 0', '"mtu": 1450')


def test_a_copy_that_was_removed_comes_back_and_is_counted(node: Node) -> None:
    hold(node, as_name=COPY)
    node.copy.unlink()
    assert hold(node, as_name=COPY).is_undone
    assert (node.ipam(node.copy), node.record.reverts) == ({"type": "spiderpool"}, 1)


def test_giving_a_copy_back_is_one_unlink(node: Node) -> None:
    hold(node, as_name=COPY)
    give_back(node)
    assert not node.copy.exists()
    assert node.conflist.read_text() == CALICO


@pytest.mark.parametrize("first", ["", COPY])
@pytest.mark.parametrize("then", ["", COPY, "04-x.conflist"])
def test_from_one_way_to_the_other_and_back_to_the_beginning(node: Node, first: str, then: str) -> None:
    hold(node, as_name=first)
    hold(node, as_name=then)
    expected = {"10-calico.conflist": CALICO if then else SWAPPED, **({then: SWAPPED} if then else {})}
    assert {name: data.decode() for name, data in node.files().items() if name != record.NAME} == expected
    assert hold(node, as_name=then).why == ""
    give_back(node)
    assert node.conflist.read_text() == CALICO
    assert {path.name for path in node.conf.iterdir()} == {"10-calico.conflist", record.NAME}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("50-late.conflist", "sorts before its source"),
        ("05-x.conf", "ends in .conflist"),
        ("../05-x.conflist", "want a file name"),
        ("05-other.conflist", "not ours"),
    ],
)
def test_names_that_no_copy_may_have_are_refused(node: Node, name: str, words: str) -> None:
    (node.conf / "05-other.conflist").write_text('{"name": "x", "plugins": [{"type": "bridge"}]}')
    before = node.files()
    with pytest.raises(ConflistError, match=words):
        hold(node, as_name=name)
    assert node.files() == before


def test_of_a_link_the_target_is_replaced_inside_the_nodes_root(node: Node) -> None:
    (node.root / "etc/real").mkdir()
    node.conflist.rename(node.root / "etc/real/calico")
    node.conflist.symlink_to("/etc/real/calico")
    hold(node)
    assert node.record.file == "/etc/cni/net.d/10-calico.conflist"
    assert os.readlink(node.conflist) == "/etc/real/calico"  # noqa: PTH115
    assert (node.root / "etc/real/calico").read_text() == SWAPPED
    give_back(node)
    assert (node.root / "etc/real/calico").read_text() == CALICO


def test_a_conflist_that_was_ours_before_is_not_guessed_back(node: Node) -> None:
    node.write(SWAPPED)
    hold(node)
    with pytest.raises(ConflistError, match="edit its ipam, or write calico-ipam with --force"):
        give_back(node)
    assert node.conflist.read_text() == SWAPPED
    give_back(node, force=True)
    assert node.ipam() == {"type": "calico-ipam"}


def test_a_lost_record_is_written_anew(node: Node) -> None:
    hold(node)
    (node.conf / record.NAME).unlink()
    hold(node)
    assert node.record.original is None


def test_a_damaged_record_is_told_with_what_to_do(node: Node) -> None:
    (node.conf / record.NAME).write_text('{"asked": ')
    with pytest.raises(record.RecordError, match="move it away and install again"):
        hold(node)


def test_what_calico_writes_meanwhile_is_what_gets_swapped(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment is made by the one thing that happens in it: writing the record."""
    write = record.write
    newer = CALICO.replace('"mtu": 0', '"mtu": 1450')

    def write_and_be_overtaken(folder: Path, new: record.Record) -> None:
        write(folder, new)
        if node.conflist.read_text() == CALICO:
            node.write(newer)

    monkeypatch.setattr(record, "write", write_and_be_overtaken)
    hold(node)
    assert node.conflist.read_text() == SWAPPED.replace('"mtu": 0', '"mtu": 1450')


def test_one_that_is_written_all_the_time_is_given_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "write", lambda *_: node.write(f"{node.conflist.read_text()} "))
    with pytest.raises(ConflistError, match="being written all the time"):
        hold(node)
    assert node.ipam() == {"type": "calico-ipam"}
