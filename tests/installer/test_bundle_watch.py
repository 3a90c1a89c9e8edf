"""The installed release is compared with its checksums once an hour, and has to answer once a minute."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cni.deadline import Deadline
from cni.installer import reconciler
from cni.installer.bundle import plugin_links
from cni.installer.bundle_watch import BundleWatch
from cni.installer.reconciler import Reconciler
from tests.installer.sample_node import Node
from tests.waiting import SLACK, wait_for


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watched(node: Node, said: list[str]) -> Reconciler:
    node.install()
    made = Reconciler(node.folders, node.tree, "1.0.0", said.append)
    made.check()
    assert made.state.fault == ""
    return made


def damage(node: Node) -> None:
    """Change one byte of a file that the cheap look only counts."""
    data = node.plugin.resolve().parent / "_internal/data"
    data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])


def test_a_changed_byte_is_found_and_the_release_is_installed_again(
    node: Node, watched: Reconciler, said: list[str]
) -> None:
    damage(node)
    watched.check()
    assert plugin_links.verify(node.bin), "a check alone does not read all files"
    stop = threading.Event()
    thread = threading.Thread(target=BundleWatch(watched, said.append).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: bool(watched.flaw), "the comparison")
    finally:
        stop.set()
        thread.join()
    watched.check()
    assert (watched.flaw, watched.state.fault, plugin_links.verify(node.bin)) == ("", "", "")
    assert any("was installed again: " in line and "_internal/data" in line for line in said)
    assert node.answers()


def test_it_reads_at_the_lowest_priority_and_nothing_else_does(
    watched: Reconciler, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    niceness: list[int] = []
    verify = plugin_links.verify
    stop = threading.Event()

    def note(*arguments: Any) -> str:
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        stop.set()
        return verify(*arguments)

    monkeypatch.setattr(plugin_links, "verify", note)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=BundleWatch(watched, said.append).run, args=(stop,))
    thread.start()
    thread.join(10 + SLACK)
    assert (niceness, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == ([19], before)


def test_without_a_whole_release_to_install_from_the_flaw_is_told_and_the_node_not_ready(
    node: Node, watched: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0)
    damage(node)
    (node.tree / "_internal/data").write_text("another")
    watched.flaw = plugin_links.verify(node.bin)
    watched.check()
    assert "_internal/data" in watched.state.fault
    assert watched.flaw, "it is tried again"


def test_a_plugin_that_does_not_answer_is_installed_again_and_asked_once_in_a_full_checks_time(
    node: Node, watched: Reconciler, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are a mock: what breaks a program whose files are whole cannot be had here at will."""
    asked: list[int] = []

    def answers(*_: object) -> str:
        asked.append(1)
        return "it does not answer VERSION" if len(asked) == 1 else ""

    monkeypatch.setattr(plugin_links, "answers", answers)
    watched.check()
    assert not asked, "it was asked by the first check"
    monkeypatch.setattr(watched, "_next_answer", Deadline(0))
    for _ in range(3):
        watched.check()
    assert watched.state.fault == ""
    assert any("was installed again: it does not answer VERSION" in line for line in said)
    assert len(asked) == 3  # the second time by what was installed again, and once more by the next check


def test_it_ends_when_it_is_told_to(watched: Reconciler, said: list[str]) -> None:
    stop = threading.Event()
    stop.set()
    run: Callable[[threading.Event], None] = BundleWatch(watched, said.append).run
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    thread.join(10 + SLACK)
    assert not thread.is_alive()
