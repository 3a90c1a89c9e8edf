"""The count of pods that another IPAM served: libcni writes its cache entry after the ADD, so after the repair."""

import os
import time
from typing import Any

import pytest

from cni.installer import astray
from cni.installer.astray import Astray
from cni.installer.reconciler import Reconciler
from tests.installer.sample_node import Node

NETWORK = "k8s-pod-network"
CALICOS: dict[str, Any] = {"type": "calico", "ipam": {"type": "calico-ipam"}}
OURS: dict[str, Any] = {"type": "calico", "ipam": {"type": "spiderpool"}}
LOOKS = astray._LOOKS


def test_looks_begin_at_once_and_end_when_no_add_can_go_on_any_more() -> None:
    assert LOOKS[0] == 0
    assert LOOKS[1] < 5
    assert 120 < LOOKS[-1] < 600


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(astray, "_LOOKS", (0.0, 0.2, 0.4))


@pytest.fixture
def results(node: Node) -> Any:
    return node.folders.results


def test_entries_that_are_written_after_the_repair_are_counted_each_once(node: Node, results: Any) -> None:
    counter = Astray()
    counter.note(NETWORK, time.time(), time.time() - 60)
    assert counter.count(results) == 0  # at the moment of the repair there are none
    for number in range(6):
        node.cache_result(f"pod-{number}", CALICOS)
    assert counter.count(results) == 0  # it is not time to look again
    time.sleep(0.25)
    assert counter.count(results) == 6
    node.cache_result("pod-6", CALICOS)
    node.cache_result("ours", OURS)
    node.cache_result("another-network", CALICOS, network="macvlan-net")
    time.sleep(0.25)
    assert counter.count(results) == 1
    assert counter.count(results) == 0


def test_what_was_counted_is_not_counted_again_at_the_next_change(node: Node, results: Any) -> None:
    counter = Astray()
    for expected in (1, 0):
        counter.note(NETWORK, time.time() - 5, 0)
        node.cache_result("pod", CALICOS)
        time.sleep(0.45)
        assert counter.count(results) == expected


def test_the_earliest_of_several_changes_counts(node: Node, results: Any) -> None:
    """As while repairs are backed off from: others write again before the first of their changes is repaired."""
    counter = Astray()
    now = time.time()
    counter.note(NETWORK, now - 30, 0)
    node.cache_result("pod", CALICOS)
    os.utime(results / "pod", (now - 20, now - 20))
    counter.note(NETWORK, now, 0)
    assert counter.count(results) == 1


@pytest.mark.parametrize("written", [1000000000.0, 0.0], ids=["put back with its old date", "removed"])
def test_pods_from_before_the_swap_are_none(node: Node, results: Any, written: float) -> None:
    counter = Astray()
    now = time.time()
    node.cache_result("before", CALICOS)
    os.utime(results / "before", (now - 60, now - 60))
    counter.note(NETWORK, written, now - 30)
    node.cache_result("after", CALICOS)
    assert counter.count(results) == 1


def test_a_change_that_is_dated_in_the_future_is_one_of_now(node: Node, results: Any) -> None:
    counter = Astray()
    counter.note(NETWORK, time.time() + 3600, 0)
    time.sleep(0.05)
    node.cache_result("pod", CALICOS)
    assert counter.count(results) == 1


def test_without_a_change_the_cache_is_not_read(node: Node, results: Any) -> None:
    node.cache_result("pod", CALICOS)
    assert Astray().count(results) == 0


def test_the_reconciler_counts_what_comes_later_without_another_check(node: Node) -> None:
    node.install()
    said: list[str] = []
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", said.append)
    reconciler.check()
    node.write()
    reconciler.check()
    node.cache_result("pod", CALICOS)
    time.sleep(0.25)
    reconciler.count_astray()
    assert reconciler.state.pods_on_other_ipam == 1
    assert "<4>1 pod got another IPAM's address meanwhile" in said


def test_while_repairs_are_backed_off_from_pods_go_astray_and_are_counted(node: Node) -> None:
    node.install()
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    for _ in range(7):
        node.write()
        reconciler.check()
    assert "the next repair is in up to" in reconciler.state.fault
    node.cache_result("pod", CALICOS)
    reconciler.check()
    assert reconciler.state.pods_on_other_ipam == 1
