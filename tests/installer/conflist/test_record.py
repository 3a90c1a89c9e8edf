import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.installation import Desired, Record
from cni.installer.conflist import record
from tests.installer.conflist.writes import reconciled, restored
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Node

DAMAGES = pytest.mark.parametrize(
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


@pytest.fixture
def path(node: Node) -> Path:
    """The record of a swapped node."""
    reconciled(node)
    return node.conf / record.NAME


@DAMAGES
def test_a_damaged_record_is_healed_from_its_copy(node: Node, path: Path, damage: Callable[[str], str]) -> None:
    before = node.record
    path.write_text(damage(path.read_text()))
    assert record.is_lost(node.folders)
    reconciled(node)
    assert not record.is_lost(node.folders)
    assert replace(node.record, applied=0) == replace(before, applied=0)


def test_a_lost_record_is_healed_from_its_copy(node: Node, path: Path) -> None:
    before = node.record
    path.unlink()
    assert record.exists(node.folders)
    reconciled(node)
    assert path.exists()
    assert replace(node.record, applied=0) == replace(before, applied=0)
    path.unlink()
    restored(node)
    assert node.conflist.read_text() == CALICO


def test_a_record_that_is_whole_wins_because_release_0_1_0_writes_no_copy(node: Node, path: Path) -> None:
    path.write_text(path.read_text().replace('"reverts": 0', '"reverts": 7'))
    assert node.record.drift_count == 7


def test_the_copy_of_another_folder_heals_nothing(node: Node, path: Path) -> None:
    path.unlink()
    elsewhere = node.find(conf_folder="/etc/other")
    assert (record.read(elsewhere), record.is_lost(elsewhere)) == (None, False)


def test_release_0_1_0_reads_the_names_of_the_folders_and_takes_the_copy_away_with_them(node: Node) -> None:
    node.install()
    names = node.folders.state / "folders"
    assert {"bin": "/opt/cni/bin", "conf": "/etc/cni/net.d"}.items() <= json.loads(names.read_text()).items()
    names.unlink()  # what its uninstall does
    (node.conf / record.NAME).unlink()
    assert not record.exists(node.folders)


@DAMAGES
def test_a_damaged_record_without_a_copy_is_told_with_what_to_do(
    node: Node, path: Path, damage: Callable[[str], str]
) -> None:
    path.write_text(damage(path.read_text()))
    (node.folders.state / "folders").unlink()
    with pytest.raises(
        record.RecordError, match=r"/etc/cni/net.d/\.spiderpool-ipam\.swap is damaged .*uninstall --force"
    ):
        reconciled(node)


def test_uninstall_gets_past_a_damaged_record_by_force(node: Node) -> None:
    node.install()
    (node.conf / record.NAME).write_text("{")
    (node.folders.state / "folders").write_text("{")
    with pytest.raises(record.RecordError, match="uninstall --force"):
        node.uninstall()
    node.uninstall(force=True)
    assert node.ipam() == {"type": "calico-ipam"}
    assert not node.plugin.exists()


def test_a_record_of_a_later_version_is_read(node: Node) -> None:
    reconciled(node)
    path = node.conf / record.NAME
    path.write_text(path.read_text().replace('"copies": []', '"copies": [], "later": 1'))
    reconciled(node)
    restored(node)
    assert node.conflist.read_text() == CALICO


# What release 0.1.0 wrote, in its own form.
RELEASE_0_1_0: dict[str, Any] = {
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
    record.write(node.folders, node.record)
    assert json.loads((node.conf / record.NAME).read_text()) == {
        **RELEASE_0_1_0,
        "asked": {**RELEASE_0_1_0["asked"], "no_image": False},
        **{
            "source": "",
            "also": {},
            "chained": {},
            "taken_out": [],
            "seen": [],
            "emptied": False,
            "drifts": [],
            "left": "",
        },
    }


def test_what_no_release_could_read_again_is_not_written(node: Node) -> None:
    with pytest.raises(record.RecordError, match="is not UTF-8"):
        record.write(node.folders, Record(Desired(), "/etc/cni/net.d/\udcff.conflist"))
    assert not record.exists(node.folders)
