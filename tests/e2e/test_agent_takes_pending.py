"""The embedded agent sends itself the releases that it has missed, when it starts and while it runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.caller import Caller, pending_containers
from tests.e2e.frozen_agent import Agent
from tests.e2e.kept_namespace import kept_namespace
from tests.plugin import pending_releases
from tests.waiting import wait_for

EVERY = 10  # seconds: how often the agent looks for releases


class Node:
    """An agent and a plugin that see the same state."""

    def __init__(self, folder: Path, enter: list[str | Path]) -> None:
        self.folder = folder
        self.state = folder / "plugin-state"
        self.plugin = Caller([*enter, requirements.need_frozen("spiderpool")], folder)
        self.agent = Agent(folder, log=folder / "agent.log", before=enter)

    def call(self, command: str, *containers: str) -> None:
        """Make a call for each of some containers of one pod."""
        for container in containers:
            assert "code" not in self.plugin.call(command, "u1", container)

    def pending(self) -> list[str]:
        return pending_containers(self.state)

    def holders(self) -> list[list[str]]:
        """Return the containers that hold each allocation."""
        return [held["containerIDs"] for held in self.agent.held()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with kept_namespace(tmp_path) as enter:
        node = Node(tmp_path, enter)
        yield node
        node.agent.stop()


def test_when_it_starts_it_takes_what_it_has_missed_and_nothing_of_another_agent(
    node: Node, tmp_path: Path, show: Callable[[str], None]
) -> None:
    node.call("ADD", "c1")
    assert node.holders() == [["c1"]]
    node.agent.stop()
    node.call("DEL", "c1")
    other = pending_releases.write(node.state / "pending", tmp_path / "other.sock", "u2", "other")
    before = other.read_bytes()
    assert node.pending() == ["c1", "other"]

    node.agent.start()
    seconds = wait_for(lambda: node.pending() == ["other"], "the agent to take its release", 5)
    assert node.holders() == []
    assert [path.read_bytes() for path in (node.state / "pending").iterdir()] == [before]
    wait_for(lambda: "took 1 release " in (tmp_path / "agent.log").read_text(), "the agent's line about it")
    show(f"an agent that was away has taken its release {seconds:.1f} s after it served")


def test_when_it_starts_a_container_of_the_pod_that_lives_keeps_the_address(node: Node) -> None:
    node.call("ADD", "c1", "c2")
    node.agent.stop()
    node.call("DEL", "c1")
    node.agent.start()
    wait_for(lambda: not node.pending(), "the agent to take its release", 5)
    assert node.holders() == [["c2"]]


@pytest.mark.slow
def test_while_it_runs_it_takes_what_did_not_reach_it(node: Node, show: Callable[[str], None]) -> None:
    node.call("ADD", "c1")
    moved = node.agent.socket.rename(node.folder / "moved")
    node.call("DEL", "c1")
    assert (node.pending(), list(moved.parent.glob("agent.sock"))) == (["c1"], [])
    moved.rename(node.agent.socket)
    assert node.holders() == [["c1"]]
    seconds = wait_for(lambda: not node.pending(), "the agent to take its release", EVERY)
    assert node.holders() == []
    show(f"an agent whose socket was away has taken its release {seconds:.1f} s later")
