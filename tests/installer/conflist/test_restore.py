import json
from collections.abc import Callable

import pytest

from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.restore import restore
from tests.installer.conflist.writes import overtaken, reconciled, restored
from tests.installer.sample_conflists import CALICO, GO, GO_IPAM, NEWER, SWAPPED
from tests.installer.sample_node import COPY, Node


def test_giving_back_restores_every_byte(node: Node) -> None:
    reconciled(node)
    restored(node)
    assert node.conflist.read_text() == CALICO


def test_what_has_changed_since_is_kept_but_for_our_value(node: Node) -> None:
    reconciled(node)
    node.write(SWAPPED.replace('"mtu": 0', '"mtu": 1450'))
    assert "later changes by others are kept" in restored(node)[0]
    assert node.conflist.read_text() == CALICO.replace('"mtu": 0', '"mtu": 1450')


def test_what_is_not_ours_any_more_is_left(node: Node) -> None:
    reconciled(node)
    node.write()
    assert "left" in restored(node)[0]
    assert node.conflist.read_text() == CALICO


def test_giving_a_copy_back_is_one_unlink(node: Node) -> None:
    reconciled(node, as_name=COPY)
    restored(node)
    assert not node.copy.exists()
    assert node.conflist.read_text() == CALICO


def test_what_calico_says_anew_of_spiderpool_is_what_stays_and_comes_back(node: Node) -> None:
    node.write(GO)
    reconciled(node, settings={"log_level": "debug"})
    node.write(GO.replace("blue", "green"))
    assert not reconciled(node, settings={"log_level": "debug"}).drift
    assert node.ipam() == {"type": "spiderpool", "default_ipv4_ippool": ["green"], "log_level": "debug"}
    restored(node)
    assert node.conflist.read_text() == GO.replace("blue", "green")


def test_force_writes_calico_ipam_where_spiderpool_would_come_back(node: Node) -> None:
    node.write(GO)
    reconciled(node)
    restored(node, force=True)
    assert node.ipam() == {"type": "calico-ipam"}


def test_without_a_record_it_is_not_guessed_what_was_there(node: Node) -> None:
    node.write(SWAPPED)
    with pytest.raises(ConflistError, match="edit its ipam, or write calico-ipam with --force"):
        restore(node.folders, None)
    assert node.conflist.read_text() == SWAPPED
    restore(node.folders, None, force=True)
    assert node.ipam() == {"type": "calico-ipam"}


@pytest.mark.parametrize("newer", [NEWER, SWAPPED.replace('"mtu": 0', '"mtu": 1450')])
@pytest.mark.parametrize("way", [restored, lambda node: reconciled(node, as_name=COPY)])
def test_what_calico_writes_while_it_is_given_back_stays(
    node: Node, newer: str, way: Callable[[Node], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciled(node)
    overtaken(node, newer, monkeypatch)
    way(node)
    assert node.conflist.read_text() == NEWER


def test_of_several_the_one_that_was_swapped_is_given_back(node: Node) -> None:
    reconciled(node)
    (node.conf / "20-x.conflist").write_text(SWAPPED)
    restored(node)
    assert node.conflist.read_text() == CALICO
    assert (node.conf / "20-x.conflist").read_text() == SWAPPED


def test_the_settings_of_a_node_with_the_go_plugin_stay_and_come_back(node: Node) -> None:
    node.write(GO)
    reconciled(node)
    assert node.conflist.read_text() == GO
    assert node.record.original == GO_IPAM
    reconciled(node, settings={"log_level": "debug"})
    assert node.ipam() == {"type": "spiderpool", "default_ipv4_ippool": ["blue"], "log_level": "debug"}
    reconciled(node, settings={"request_timeout": 5})
    assert node.ipam() == json.loads(GO_IPAM) | {"request_timeout": 5}
    assert node.record.drift_count == 0
    restored(node)
    assert node.conflist.read_text() == GO
