"""A bundle holds what was read, and nothing else; the same checks on it find the same."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cni.doctor import bundle, run
from cni.doctor.bundle import BundleError
from cni.doctor.checks import CHECKS
from tests.doctor.documents import CLUSTER, changed, guide

LINE = {"time": "t", "level": "info", "command": "ADD", "outcome": "ok", "code": 0, "ms": 1, "agent_ms": 1}


def facts() -> Any:
    return changed(changed(guide(CLUSTER), "node.log", [LINE]), "node.watch_log", ["t node watch: level=info"])


def report(facts: Any) -> Any:
    return run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0")


def test_what_was_written_is_read_and_checked_alike(tmp_path: Path) -> None:
    path, read = tmp_path / "b.tar.gz", facts()
    bundle.write(path, read, report(read))
    assert bundle.read(path) == read
    assert report(bundle.read(path)) == report(read)
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_says_what_is_in_it(tmp_path: Path) -> None:
    path, read = tmp_path / "b.tar.gz", facts()
    bundle.write(path, read, report(read))
    with tarfile.open(path) as archive:
        names = archive.getnames()
        texts = {name: (archive.extractfile(name) or pytest.fail()).read().decode() for name in names}
    assert all(name in texts["README.txt"] for name in names if name != "README.txt")
    assert json.loads(texts["spiderpool.log"]) == LINE
    assert texts["watch.log"] == "t node watch: level=info\n"
    assert json.loads(texts["report.json"]) == report(read)


def test_a_bundle_that_would_be_too_large_leaves_the_pods_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_MOST", 6000)
    pods = [{"metadata": {"name": f"{number * 7919 % 9973}"}} for number in range(5000)]
    read = changed(facts(), "cluster.pods", pods)
    bundle.write(tmp_path / "b.tar.gz", read, report(read))
    kept: Any = bundle.read(tmp_path / "b.tar.gz")
    assert "too large" in kept["cluster"]["pods"]["unknown"]
    assert kept["cluster"]["ip_pools"] == CLUSTER["ip_pools"]
    monkeypatch.setattr(bundle, "_MOST", 60)
    with pytest.raises(BundleError, match="would have more than"):
        bundle.write(tmp_path / "c.tar.gz", read, report(read))
    assert not (tmp_path / "c.tar.gz").exists()


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "other"])
def test_what_is_no_bundle_is_told_in_one_line(tmp_path: Path, damage: str) -> None:
    path, read = tmp_path / "b.tar.gz", facts()
    bundle.write(path, read, report(read))
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "text": b"hello", "cut": whole[: len(whole) // 2], "other": b"\x1f\x8b" + whole}[damage]
    )
    with pytest.raises(BundleError, match="is no bundle of doctor's"):
        bundle.read(path)


def test_a_bundle_that_is_damaged_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    path, read = tmp_path / "b.tar.gz", facts()
    bundle.write(path, read, report(read))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            bundle.read(path)
        except BundleError:
            refused += 1
    assert refused > len(whole) / 6


def test_only_its_owner_may_read_it_also_where_a_file_was_there_before(tmp_path: Path) -> None:
    path, read = tmp_path / "b.tar.gz", facts()
    path.touch(0o644)
    bundle.write(path, read, report(read))
    assert path.stat().st_mode & 0o777 == 0o600


def test_facts_of_another_shape_are_told(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    (tmp_path / "facts.json").write_text('{"version": 3}')
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "facts.json", "facts.json")
    with pytest.raises(BundleError, match="version: "):
        bundle.read(path)
