"""When watch checks though no file has changed."""

import threading
import time

from cni.deadline import Deadline
from cni.installer.reconciler import FULL_CHECK, Reconciler
from cni.installer.watch import Watch
from tests.installer.sample_node import Node
from tests.waiting import SLACK


def test_full_checks_are_a_minute_apart_give_or_take_a_tenth(node: Node) -> None:
    """5,000 nodes that were started at once are not to look at once for ever."""
    node.install()
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    seconds = []
    for _ in range(60):
        reconciler.check()
        seconds.append(reconciler.next_check.left())
    assert FULL_CHECK == 60
    assert 54 - SLACK < min(seconds) < 58  # 60 of them miss a third of the range once in 10^10 runs
    assert 62 - SLACK < max(seconds) < 66
    assert max(seconds) - min(seconds) > 3


def test_a_check_that_is_due_is_made_without_an_event(node: Node) -> None:
    node.install()
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    stop, checks = threading.Event(), []

    def tick() -> None:
        checks.append(reconciler.state.last_check)
        if len(set(checks)) == 1:
            reconciler.next_check = Deadline(0)
        if len(set(checks)) == 2 or time.monotonic() > deadline:
            stop.set()

    deadline = time.monotonic() + 2 + SLACK
    Watch(reconciler, lambda _: None).run(stop, tick)
    assert len(set(checks)) == 2
