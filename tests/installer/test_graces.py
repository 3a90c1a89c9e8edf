"""A fault that has passed has its whole time anew when it comes again, also while another one lasts."""

import json
import time

import pytest

from cni.installer import reconciler
from cni.installer.conflist.document import NoneFoundError, UnfinishedError
from cni.installer.graces import Graces
from cni.installer.reconciler import Reconciler
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import COPY, Node


@pytest.fixture
def watch(node: Node, monkeypatch: pytest.MonkeyPatch) -> Reconciler:
    """A watch over a copy, with a fault that lasts: another file of the network is loaded first."""
    monkeypatch.setattr(reconciler, "GRACE", 0.3)
    node.install(COPY)
    (node.conf / "01-others.conflist").write_text(CALICO.replace("calico-ipam", "whereabouts"))
    made = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    made.check()
    assert "01-others.conflist before" in made.state.fault
    return made


def test_a_fault_that_a_check_does_not_meet_begins_anew() -> None:
    graces = Graces()
    for _ in range(2):
        graces.begin_check()
        assert graces.left(NoneFoundError("x"), 100) > 99
    assert graces.left(NoneFoundError("y"), 0) > 99, "it is the same fault"
    assert graces.left(UnfinishedError("x"), 0) == 0
    graces.begin_check()
    graces.begin_check()
    assert graces.left(NoneFoundError("x"), 0) == 0


def test_a_copy_that_is_half_written_for_the_second_time_is_given_time_again(node: Node, watch: Reconciler) -> None:
    for mesh in ("first", "second"):
        written = json.loads(SWAPPED)
        written["plugins"].append({"type": mesh})
        (node.bin / mesh).touch()
        node.copy.write_text(json.dumps(written)[:90])
        watch.check()
        assert "is half-written" in watch.state.fault
        node.copy.write_text(json.dumps(written))
        watch.check()
        assert json.loads(node.copy.read_text()) == written
        time.sleep(0.4)


def test_a_source_that_is_removed_for_the_second_time_is_given_time_again(
    node: Node, watch: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault that lasts is a mock here, so that no other file holds Calico's plugin."""
    (node.conf / "01-others.conflist").unlink()
    monkeypatch.setattr(watch, "_look_after_plugin", lambda: "the release is damaged")
    for _ in range(2):
        node.conflist.unlink()
        watch.check()
        assert node.copy.exists()
        node.write()
        watch.check()
        assert watch.state.fault == "the release is damaged"
        time.sleep(0.4)


def test_a_copy_has_its_own_time_after_its_source_was_half_written(node: Node, watch: Reconciler) -> None:
    node.write("{")
    watch.check()
    time.sleep(0.4)
    watch.check()
    node.write()
    node.copy.write_text("{")
    watch.check()
    assert (node.copy.read_text(), "is half-written" in watch.state.fault) == ("{", True)
