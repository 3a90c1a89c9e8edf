"""The operator program sends what the plugin wrote down: frozen, on a node that is mounted elsewhere."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.installer import agent_watch
from cni.installer.agent_watch import AgentWatch
from cni.installer.node import pending
from cni.installer.reconciler import Reconciler
from cni.plugin.replay import Outcome
from tests.agent.agent_process import Agent, add_args, pool, running_agent, write_pools
from tests.installer.sample_node import Node

SOCKET = "/var/run/a.sock"


@pytest.fixture
def node() -> Iterator[Node]:
    """An installed node; /var/run is an absolute link, as on every distribution."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path may not be longer than 107 bytes
        node = Node(Path(folder).resolve())
        (node.root / "run").mkdir()
        (node.root / "var").mkdir()
        (node.root / "var/run").symlink_to("/run")
        node.install()
        yield node


@pytest.fixture
def agent(node: Node) -> Iterator[Agent]:
    pools = write_pools(node.root / "pools", pool("a", "10.244.0.1-10.244.0.9", default=True))
    with running_agent(node.root / "run", pools, name="a.sock") as agent:
        yield agent


def write(node: Node, uid: str) -> None:
    """Write a release down as the plugin does."""
    folder = node.root / "var/lib/spiderpool-ipam/pending"
    folder.mkdir(parents=True, exist_ok=True)
    fields = ("containerID", "ifName", "podNamespace", "podName", "podUID", "network")
    release = {field: value for field, value in add_args(uid).items() if field in fields}
    line = json.dumps({"time": int(time.time()), "socketPath": SOCKET, "release": release})
    (folder / f"net~{uid}~eth0.release").write_text(line + "\n")


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "from source"])
def test_uninstall_sends_what_is_pending_to_the_agent_of_the_node(frozen: bool, node: Node, agent: Agent) -> None:
    for uid in ("u1", "u2"):
        agent.add(add_args(uid))
    write(node, "u1")
    assert "1 release is pending" in node.run("status", frozen=frozen).stderr
    done = node.run("uninstall", frozen=frozen)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [held["podUID"] for held in agent.allocations()] == ["u2"]


def test_a_release_that_was_written_down_after_they_were_counted_stays(node: Node) -> None:
    write(node, "u1")
    folder = node.root / "var/lib/spiderpool-ipam/pending"
    assert node.uninstall(pending=0).plugin_stays == []
    assert [path.name for path in folder.iterdir()] == ["net~u1~eth0.release"]
    node.uninstall(pending=1, force=True)
    assert not folder.parent.exists()


def test_watch_goes_on_looking_after_the_agent_whatever_happens(monkeypatch: pytest.MonkeyPatch, node: Node) -> None:
    stop = threading.Event()
    calls: list[str] = []

    def fail_once(*_: object) -> Outcome:
        calls.append("replay")
        if len(calls) == 1:
            raise OverflowError("by hand")
        stop.set()
        return Outcome()

    monkeypatch.setattr(agent_watch, "AGENT_EVERY", 0.01)
    monkeypatch.setattr(agent_watch, "_WHILE_FAULTY", 0.01)
    monkeypatch.setattr(pending, "replay", fail_once)
    AgentWatch(Reconciler(node.folders, None, "1.0.0", print), print).run(stop)
    assert len(calls) == 2
