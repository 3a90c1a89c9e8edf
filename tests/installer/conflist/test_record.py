import json
from collections.abc import Callable

import pytest

from cni.contracts.installation import Desired, Record
from cni.installer.conflist import record
from tests.installer.conflist.writes import reconciled, restored
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Node


def test_a_lost_record_is_written_anew(node: Node) -> None:
    reconciled(node)
    (node.conf / record.NAME).unlink()
    reconciled(node)
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
    reconciled(node)
    path = node.conf / record.NAME
    path.write_text(damage(path.read_text()))
    with pytest.raises(record.RecordError, match="`original` back into the conflist, move it away and install again"):
        reconciled(node)


def test_a_record_of_a_later_version_is_read(node: Node) -> None:
    reconciled(node)
    path = node.conf / record.NAME
    path.write_text(path.read_text().replace('"copies": []', '"copies": [], "later": 1'))
    reconciled(node)
    restored(node)
    assert node.conflist.read_text() == CALICO


# What release 0.1.0 wrote, in its own form.
RELEASE_0_1_0 = {
    "asked": {"plugin_type": "calico", "conf": "", "as_name": "", "settings": {"log_level": "info"}, "force": False},
    "file": "/etc/cni/net.d/10-calico.conflist",
    "original": '{ "type": "calico-ipam" }',
    "values": ['{"type": "spiderpool", "log_level": "info"}'],
    "written": "ab12",
    "since": 1700000000.25,
    "applied": 1700000001,
    "copies": [],
    "reverts": 3,
    "given_back": False,
}


def test_what_release_0_1_0_wrote_is_read_and_written_with_the_same_keys(node: Node) -> None:
    (node.conf / record.NAME).write_text(json.dumps(RELEASE_0_1_0, indent=1))
    assert node.record == Record(
        desired=Desired(settings={"log_level": "info"}),
        file="/etc/cni/net.d/10-calico.conflist",
        original='{ "type": "calico-ipam" }',
        values=['{"type": "spiderpool", "log_level": "info"}'],
        written="ab12",
        since=1700000000.25,
        applied=1700000001,
        drift_count=3,
    )
    record.write(node.conf, node.record)
    assert json.loads((node.conf / record.NAME).read_text()) == RELEASE_0_1_0


def test_what_no_release_could_read_again_is_not_written(node: Node) -> None:
    with pytest.raises(record.RecordError, match="is not UTF-8"):
        record.write(node.conf, Record(Desired(), "/etc/cni/net.d/\udcff.conflist"))
    assert not record.exists(node.conf)
