import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni.installer.conflist import plan as swap
from cni.installer.conflist import record
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.record import Asked
from cni.installer.node import atomic_file
from tests.installer.conflist.test_document import CALICO
from tests.installer.sample_node import COPY, Node

SWAPPED = CALICO.replace('{ "type": "calico-ipam" }', '{"type": "spiderpool"}')
GO_IPAM = '{"type":"spiderpool", "default_ipv4_ippool":["blue"], "log_level":"INFO"}'
GO = CALICO.replace('{ "type": "calico-ipam" }', GO_IPAM)  # a node that ran the Go plugin


def hold(node: Node, **asked: object) -> swap.Plan:
    return swap.hold(node.folders, Asked(**asked), record.read(node.conf))  # type: ignore[arg-type]


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


def test_the_settings_of_a_node_with_the_go_plugin_stay_and_come_back(node: Node) -> None:
    node.write(GO)
    hold(node)
    assert node.conflist.read_text() == GO
    assert node.record.original == GO_IPAM
    hold(node, settings={"log_level": "debug"})
    assert node.ipam() == {"type": "spiderpool", "default_ipv4_ippool": ["blue"], "log_level": "debug"}
    hold(node, settings={"request_timeout": 5})
    assert node.ipam() == json.loads(GO_IPAM) | {"request_timeout": 5}
    assert node.record.reverts == 0
    give_back(node)
    assert node.conflist.read_text() == GO


def test_what_calico_says_anew_of_spiderpool_is_what_stays_and_comes_back(node: Node) -> None:
    node.write(GO)
    hold(node, settings={"log_level": "debug"})
    node.write(GO.replace("blue", "green"))
    assert not hold(node, settings={"log_level": "debug"}).is_undone
    assert node.ipam() == {"type": "spiderpool", "default_ipv4_ippool": ["green"], "log_level": "debug"}
    give_back(node)
    assert node.conflist.read_text() == GO.replace("blue", "green")


@pytest.mark.parametrize(("as_name", "first"), [("", COPY), (COPY, "")])
def test_from_one_way_to_the_other_the_go_plugins_settings_stay(node: Node, as_name: str, first: str) -> None:
    node.write(GO)
    for name in (first, as_name):
        hold(node, as_name=name, settings={"log_level": "debug"})
        assert (node.ipam(node.conf / (name or node.conflist.name))["default_ipv4_ippool"]) == ["blue"]
    give_back(node)
    assert {name: data.decode() for name, data in node.files().items() if name != record.NAME} == {
        "10-calico.conflist": GO
    }


def test_beside_a_copy_the_source_is_calicos_even_if_it_says_spiderpool(node: Node) -> None:
    hold(node, as_name=COPY)
    node.write(GO)
    hold(node, as_name=COPY)
    assert node.conflist.read_text() == GO
    assert node.copy.read_text() == GO
    assert "removed" in give_back(node)[0]
    assert (node.conflist.read_text(), node.copy.exists()) == (GO, False)


def test_force_writes_calico_ipam_where_spiderpool_would_come_back(node: Node) -> None:
    node.write(GO)
    hold(node)
    give_back(node, force=True)
    assert node.ipam() == {"type": "calico-ipam"}


def test_without_a_record_it_is_not_guessed_what_was_there(node: Node) -> None:
    node.write(SWAPPED)
    with pytest.raises(ConflistError, match="edit its ipam, or write calico-ipam with --force"):
        swap.give_back(node.folders, None)
    assert node.conflist.read_text() == SWAPPED
    swap.give_back(node.folders, None, force=True)
    assert node.ipam() == {"type": "calico-ipam"}


def test_a_lost_record_is_written_anew(node: Node) -> None:
    hold(node)
    (node.conf / record.NAME).unlink()
    hold(node)
    assert node.record.original == '{"type": "spiderpool"}'


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:20],
        lambda text: text.replace('"copies": []', '"copies": null'),
        lambda text: text.replace('"copies": []', '"copies": [1]'),
        lambda text: text.replace('"conf": ""', '"conf": 7'),
        lambda text: "[]",
        lambda text: "[" * 100000,
    ],
)
def test_a_damaged_record_is_told_with_what_to_do(node: Node, damage: Callable[[str], str]) -> None:
    hold(node)
    path = node.conf / record.NAME
    path.write_text(damage(path.read_text()))
    with pytest.raises(record.RecordError, match="`original` back into the conflist, move it away and install again"):
        hold(node)


def test_a_record_of_a_later_version_is_read(node: Node) -> None:
    hold(node)
    path = node.conf / record.NAME
    path.write_text(path.read_text().replace('"copies": []', '"copies": [], "later": 1'))
    hold(node)
    give_back(node)
    assert node.conflist.read_text() == CALICO


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


def overtaken(node: Node, newer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Calico write its conflist between our reading and our writing of it, once."""
    replace = atomic_file.replace

    def replace_late(path: Path, data: bytes, **options: Any) -> None:
        if path == node.conflist and node.conflist.read_text() != newer:
            node.write(newer)
            monkeypatch.setattr(atomic_file, "replace", replace)
        replace(path, data, **options)

    monkeypatch.setattr(atomic_file, "replace", replace_late)


NEWER = CALICO.replace('"mtu": 0', '"mtu": 1450')


@pytest.mark.parametrize("newer", [NEWER, SWAPPED.replace('"mtu": 0', '"mtu": 1450')])
@pytest.mark.parametrize("way", [give_back, lambda node: hold(node, as_name=COPY)])
def test_what_calico_writes_while_it_is_given_back_stays(
    node: Node, newer: str, way: Callable[[Node], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(node)
    overtaken(node, newer, monkeypatch)
    way(node)
    assert node.conflist.read_text() == NEWER


def refusing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = atomic_file.replace

    def refuse(to: Path, data: bytes, **options: Any) -> None:
        if to == path:
            raise OSError(errno.EBUSY, "Device or resource busy", str(to))
        replace(to, data, **options)

    monkeypatch.setattr(atomic_file, "replace", refuse)


def test_a_first_swap_that_fails_leaves_no_record_of_one(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(node.conflist, monkeypatch)
    for _ in range(2):
        with pytest.raises(OSError, match="busy"):
            hold(node)
        assert record.read(node.conf) is None
    monkeypatch.undo()
    assert hold(node).is_first
    assert node.record.reverts == 0


def test_mending_that_fails_is_not_counted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(node)
    before = node.record
    node.write()
    refusing(node.conflist, monkeypatch)
    for _ in range(2):
        with pytest.raises(OSError, match="busy"):
            hold(node)
    assert node.record == before
    monkeypatch.undo()
    hold(node)
    assert node.record.reverts == 1


def test_a_swap_that_was_not_recorded_to_its_end_is_still_the_first(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = record.write

    def killed(folder: Path, new: record.Record) -> None:
        if new.since:
            raise KeyboardInterrupt
        write(folder, new)

    monkeypatch.setattr(record, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        hold(node)
    monkeypatch.undo()
    assert (node.conflist.read_text(), node.record.is_in_force) == (SWAPPED, False)
    assert hold(node).is_first
    assert node.record.is_in_force
    give_back(node)
    assert node.conflist.read_text() == CALICO


@pytest.mark.parametrize("text", [CALICO, "{", "\x00\udcff"])
def test_a_copy_that_others_have_overwritten_is_counted(node: Node, text: str) -> None:
    hold(node, as_name=COPY)
    node.copy.write_bytes(text.encode(errors="surrogateescape"))
    planned = hold(node, as_name=COPY)
    assert (planned.is_undone, planned.why, node.record.reverts) == (True, "it was overwritten", 1)
    assert node.copy.read_text() == SWAPPED


@pytest.mark.parametrize("then", ["", "04-x.conflist"])
def test_a_file_of_others_in_the_place_of_a_former_copy_is_left(node: Node, then: str) -> None:
    hold(node, as_name=COPY)
    node.copy.write_text('{"name": "admin", "plugins": [{"type": "bridge"}]}')
    hold(node, as_name=then)
    assert "admin" in node.copy.read_text()
    assert hold(node, as_name=then).why == ""


@pytest.mark.parametrize("conf", ["20-x.conflist", "/etc/cni/net.d/20-x.conflist"])
def test_a_file_is_named_by_its_name_or_by_the_nodes_path(node: Node, conf: str) -> None:
    (node.conf / "20-x.conflist").write_text(CALICO)
    hold(node, conf=conf)
    assert (node.conf / "20-x.conflist").read_text() == SWAPPED
    assert node.conflist.read_text() == CALICO


def test_what_is_said_of_files_can_be_given_back_to_it(node: Node) -> None:
    (node.conf / "20-x.conflist").write_text(CALICO)
    with pytest.raises(ConflistError) as raised:
        hold(node)
    assert str(raised.value) == (
        "several plugins of type calico, in 10-calico.conflist, 20-x.conflist: name the file with --conf"
    )
    with pytest.raises(ConflistError) as raised:
        hold(node, plugin_type="flannel")
    assert str(raised.value) == "no plugin of type flannel in /etc/cni/net.d"


def test_of_several_the_one_that_was_swapped_is_given_back(node: Node) -> None:
    hold(node)
    (node.conf / "20-x.conflist").write_text(SWAPPED)
    give_back(node)
    assert node.conflist.read_text() == CALICO
    assert (node.conf / "20-x.conflist").read_text() == SWAPPED


def test_a_copy_under_its_sources_name_is_refused(node: Node) -> None:
    with pytest.raises(ConflistError, match="a name that sorts before its source"):
        hold(node, as_name=node.conflist.name)
