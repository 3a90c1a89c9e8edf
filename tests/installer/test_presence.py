"""Whether a watch runs, as another process sees it."""

import fcntl
import json
import os
import shutil
import signal
import subprocess

from cni.installer.presence import Presence, is_shown
from tests.installer.sample_node import Node
from tests.installer.watch_process import watching
from tests.waiting import wait_for


def test_status_says_whether_a_watch_runs_also_after_it_was_killed(node: Node) -> None:
    node.install()

    def told() -> bool | None:
        found: bool | None = json.loads(node.run("status", "--json", frozen=False).stdout)["watchRuns"]
        return found

    assert told() is False
    with watching(node, stderr=subprocess.DEVNULL) as watch:
        wait_for(lambda: is_shown(node.folders.state) is True, "watch to show itself")
        assert told() is True
        assert "watch     runs\n" in node.run("status", frozen=False).stdout
        watch.send_signal(signal.SIGKILL)
        watch.wait()
        assert told() is False


def test_of_a_watch_nothing_is_left_in_the_state_folder(node: Node) -> None:
    node.install()
    before = set(node.folders.state.iterdir())
    Presence().show(node.folders.state)
    assert set(node.folders.state.iterdir()) == before


def test_two_may_run_and_the_folder_may_be_made_anew(node: Node) -> None:
    state = node.root / "state"
    first, second = Presence(), Presence()
    first.show(state)  # it is not there yet
    assert is_shown(state) is False
    state.mkdir()
    first.show(state)
    second.show(state)
    assert is_shown(state) is True
    shutil.rmtree(state)
    state.mkdir()
    assert is_shown(state) is False
    second.show(state)
    assert is_shown(state) is True


def test_where_the_state_folder_is_something_else_it_cannot_be_told(node: Node) -> None:
    (node.root / "state").touch()
    assert is_shown(node.root / "state") is None


def test_a_look_at_the_same_moment_keeps_no_watch_from_showing_itself_in_its_next_round(node: Node) -> None:
    state, mine = node.root / "state", Presence()
    state.mkdir()
    look = os.open(state, os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_EX)
    mine.show(state)
    os.close(look)
    assert is_shown(state) is False
    mine.show(state)
    assert is_shown(state) is True
