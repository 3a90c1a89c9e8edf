"""Calls around releases that were not taken: the plugin in process, the embedded agent and agents that fail."""

import fcntl
import multiprocessing.synchronize
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cni.deadline import Deadline
from cni.plugin import operations, pending
from cni.plugin import replay as replaying
from cni.plugin.agent_client import AgentClient
from cni.plugin.attachment import Attachment
from cni.plugin.netconf import NetConf
from tests.agent.agent_process import Agent, pool, running_agent, write_pools
from tests.plugin.node import Node
from tests.plugin.pending_releases import EMBEDDED, UNKNOWN_PATH, answer, holding_elsewhere, scripted_agent
from tests.waiting import SLACK

ADDED = answer(200, b'{"ips":[{"version":4,"address":"10.244.0.1/16","nic":"eth0"}]}')


@contextmanager
def embedded_agent(node: Node) -> Iterator[Agent]:
    folder = node.socket.parent
    pools = write_pools(folder / "pools", pool("a", "10.244.0.1-10.244.0.250", default=True))
    with running_agent(folder, pools) as agent:
        yield agent


def held(agent: Agent) -> list[list[str]]:
    return [allocation["containerIDs"] for allocation in agent.allocations()]


def test_a_del_that_nobody_hears_succeeds_and_is_done_by_gc(node: Node) -> None:
    with embedded_agent(node):
        node.call("ADD", "c1", "u1")
        node.call("ADD", "c2", "u2")
    assert node.call("DEL", "c1", "u1") == {}
    assert node.call("DEL", "c1", "u1") == {}
    assert node.containers() == ["c1"]
    assert "the release is pending: code 11: cannot reach the spiderpool-agent" in node.last_line["warning"]
    with embedded_agent(node) as agent:
        assert held(agent) == [["c1"], ["c2"]]
        assert node.call("DEL", "c2", "u2") == {}
        assert node.containers() == ["c1"], "a DEL does not wait for the releases of other pods"
        assert node.call("GC") == {}
        assert held(agent) == []
    assert node.containers() == []


def test_nothing_is_written_down_for_a_socket_that_only_this_process_can_name(node: Node) -> None:
    """A trial of install has such a one. Its agent may be killed at any moment."""
    error = node.call("DEL", ipam_unix_socket_path="/proc/self/cwd/nowhere")
    assert (error["code"], error["details"]) == (11, "/proc/self/cwd/nowhere")
    assert not node.folder.exists()


@pytest.mark.parametrize(
    "response",
    [answer(404, b'{"code":404}'), answer(422), answer(500, b'"oops"'), b"HTTP/1.1 200 O", b"x\r\n\r\n", b""],
    ids=["404", "422", "500", "cut", "nonsense", "hangs up"],
)  # fmt: skip
def test_a_del_that_is_answered_badly_is_pending(response: bytes, node: Node) -> None:
    with scripted_agent(node.socket, {b"DELETE": response}):
        assert node.call("DEL") == {}
    assert node.containers() == ["c1"]


def test_a_del_does_its_own_pending_release_with_itself(node: Node) -> None:
    with embedded_agent(node):
        node.call("ADD")
    node.call("DEL")
    with scripted_agent(node.socket, {b"DELETE": answer(200), b"GET": EMBEDDED}) as heard:
        assert node.call("DEL") == {}
    assert node.containers() == []
    assert [line.split()[0] for line in heard] == [b"DELETE"]


def test_beside_a_real_agent_what_is_pending_is_left_to_its_controller_and_logged(node: Node) -> None:
    node.call("DEL", "c1")
    with scripted_agent(node.socket, {b"DELETE": answer(200), b"GET": UNKNOWN_PATH}) as heard:
        assert node.call("DEL", "c2") == {}
    assert node.containers() == []
    (line,) = node.last_line["pending"]
    assert line.endswith("container c1: left to spiderpool-controller")
    assert [line.split()[0] for line in heard] == [b"DELETE", b"GET"]


def test_a_gc_spends_half_of_its_time_on_what_is_pending_and_has_the_other_half(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_REQUEST_TIMEOUT", 60)
    node.call("DEL")
    answers = {b"GET": EMBEDDED, b"DELETE": answer(200), b"POST": answer(200, b'{"released":[]}')}
    with scripted_agent(node.socket, answers, delay=4):
        started = time.monotonic()
        assert node.call("GC", request_timeout=4) == {}
        assert 2 <= time.monotonic() - started < 4
    assert node.containers() == ["c1"]
    assert 2000 <= node.last_line["agent_ms"] <= node.last_line["ms"]


def test_an_add_of_the_same_container_takes_its_pending_release_away(node: Node) -> None:
    with embedded_agent(node):
        first = node.call("ADD")
    node.call("DEL")
    with embedded_agent(node) as agent:
        assert node.call("ADD")["ips"] == first["ips"]
        assert node.containers() == []
        replaying.replay(str(node.folder))
        assert held(agent) == [["c1"]]


def test_an_add_of_a_pods_next_container_has_the_earlier_one_released(node: Node) -> None:
    with embedded_agent(node):
        first = node.call("ADD", "c1")
    node.call("DEL", "c1")
    with embedded_agent(node) as agent:
        assert node.call("ADD", "c2")["ips"] == first["ips"]
        assert node.containers() == []
        assert held(agent) == [["c2"]]
        node.call("DEL", "c2")
        assert held(agent) == [], "an earlier container would hold the address for ever"


def test_retries_while_the_agent_is_away_all_end_up_released(node: Node) -> None:
    with embedded_agent(node):
        node.call("ADD", "c0")
    for number in range(4):
        node.call("DEL", f"c{number}")
        assert node.call("ADD", f"c{number + 1}")["code"] == 11
    node.call("DEL", "c4")
    assert pending.count(str(node.folder)) == 1
    assert node.containers() == ["c0", "c1", "c2", "c3", "c4"]
    with embedded_agent(node) as agent:
        assert node.call("ADD", "c5")["ips"]
        assert (held(agent), node.containers()) == ([["c5"]], [])


def test_an_add_that_fails_puts_the_pending_release_back_that_it_took_away(node: Node) -> None:
    node.call("DEL")
    assert node.call("ADD")["code"] == 11
    assert node.containers() == ["c1"]


def test_an_add_whose_pending_release_cannot_be_removed_fails_before_it_asks(node: Node) -> None:
    node.call("DEL")
    with scripted_agent(node.socket, {b"POST": answer(500)}) as heard:
        Path(f"{node.folder}.lock").unlink()
        Path(f"{node.folder}.lock").mkdir()
        printed = node.call("ADD")
    assert printed["code"] == 11
    assert "pending and cannot be removed" in printed["msg"]
    assert b"POST" not in b"".join(heard)


@pytest.mark.parametrize("obstacle", ["file", "full"])
def test_a_del_that_cannot_be_written_down_is_code_11_in_words_that_are_no_success_to_containerd(
    obstacle: str, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    if obstacle == "file":
        node.folder.parent.write_text("")
    else:
        missing = "/proc/self/task/0/pending"  # no folder can be made there: No such file or directory
        monkeypatch.setattr("cni.defaults.PENDING_FOLDER", missing)
    printed = node.call("DEL")
    assert printed["code"] == 11
    words = (printed["msg"] + printed["details"]).lower()
    assert "cannot be written down: look at /" in words
    assert "not found" not in words
    assert "no such file" not in words


def _hold_locks(held: "multiprocessing.synchronize.Event", path: str, seconds: float) -> None:
    with Path(path).open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        held.set()
        time.sleep(seconds)


def locks_held_elsewhere(node: Node, seconds: float = 60) -> AbstractContextManager[None]:
    node.folder.parent.mkdir(parents=True, exist_ok=True)
    return holding_elsewhere(_hold_locks, f"{node.folder}.lock", seconds)


@pytest.mark.parametrize("left", [0.5, 3], ids=["deadline over", "deadline later"])
def test_a_del_that_cannot_be_written_down_for_a_lock_says_so_in_the_time_that_is_left_or_two_seconds(
    left: float, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "LIMITS", {"DEL": (left, 2, 0.1)})
    with locks_held_elsewhere(node):
        started = time.monotonic()
        printed = node.call("DEL")
        took = time.monotonic() - started
    assert printed["code"] == 11
    assert "another process keeps the file locked" in printed["msg"]
    assert "disk" not in printed["msg"]
    assert max(left, 2) <= took < max(left, 2.2) + SLACK / 5
    assert node.last_line["ms"] - node.last_line["agent_ms"] < 500, "waiting for the lock counts"


@pytest.mark.parametrize(("timeout", "limit"), [(1, 1), (100, 2)], ids=["request_timeout 1", "no limit"])
def test_a_del_waits_two_seconds_at_most_for_its_own_pending_release_and_not_beyond_its_deadline(
    timeout: int, limit: float, node: Node
) -> None:
    node.call("DEL")
    with scripted_agent(node.socket, {b"DELETE": answer(200)}), locks_held_elsewhere(node):
        started = time.monotonic()
        assert node.call("DEL", request_timeout=timeout) == {}
        took = time.monotonic() - started
    assert limit - 0.1 <= took < limit + SLACK / 5
    assert node.containers() == ["c1"]
    assert node.last_line["warning"].startswith("earlier releases of this pod stay pending: BlockingIOError")
    assert node.last_line["ms"] - node.last_line["agent_ms"] < 500, "waiting for the lock counts"


def test_an_add_waits_two_seconds_at_most_for_its_own_pending_release_and_is_to_be_tried_again(node: Node) -> None:
    node.call("DEL")
    with scripted_agent(node.socket, {b"POST": ADDED}) as heard, locks_held_elsewhere(node):
        started = time.monotonic()
        printed = node.call("ADD")
        took = time.monotonic() - started
    assert (printed["code"], heard) == (11, [])
    assert "is being sent at this moment: try again" in printed["msg"]
    assert 2 <= took < 2 + SLACK / 5
    assert node.containers() == ["c1"]


def test_an_add_takes_two_seconds_at_most_for_what_the_pods_earlier_containers_hold(node: Node) -> None:
    for number in range(8):
        node.call("DEL", f"c{number}")
    answers = {b"POST": ADDED, b"GET": EMBEDDED, b"DELETE": answer(200)}
    with scripted_agent(node.socket, answers, delay=1):
        started = time.monotonic()
        assert node.call("ADD", "c8")["ips"]
        assert time.monotonic() - started < 2 + SLACK
    assert 0 < len(node.containers()) < 8


def test_an_add_that_waited_for_its_own_release_has_the_rest_of_two_seconds_for_the_earlier_ones(node: Node) -> None:
    for number in range(8):
        node.call("DEL", f"c{number}")
    answers = {b"POST": ADDED, b"GET": EMBEDDED, b"DELETE": answer(200)}
    with scripted_agent(node.socket, answers, delay=0.3), locks_held_elsewhere(node, 1.2):
        started = time.monotonic()
        assert node.call("ADD", "c8")["ips"]
        assert time.monotonic() - started < 3
    assert 1 <= 8 - len(node.containers()) <= 3


def test_what_stays_pending_of_the_pod_is_a_warning(node: Node) -> None:
    node.call("DEL", "c1")
    with scripted_agent(node.socket, {b"DELETE": answer(200), b"GET": answer(500)}):
        assert node.call("DEL", "c2") == {}
    assert node.containers() == ["c1"]
    assert (node.last_line["level"], node.last_line["warning"]) == ("warn", "1 release stays pending")


def test_what_is_pending_is_logged_as_a_warning_and_an_agents_words_are_cut(node: Node) -> None:
    with scripted_agent(node.socket, {b"DELETE": answer(500, b'"' + b"x" * 8_000_000 + b'"')}):
        assert node.call("DEL", log_level="warn") == {}
    assert node.last_line["level"] == "warn"
    assert node.last_line["warning"].startswith(
        "the release is pending: code 11: the agent failed to release the address; xxx"
    )
    assert node.log.stat().st_size < 70_000


@pytest.mark.parametrize(("command", "method"), [("DEL", b"DELETE"), ("ADD", b"POST")])
@pytest.mark.parametrize("failure", [OverflowError("by hand"), KeyboardInterrupt("SIGTERM")], ids=["fault", "signal"])
def test_what_the_agent_has_done_stays_done_whatever_becomes_of_earlier_releases(
    failure: BaseException, command: str, method: bytes, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    node.call("DEL", "c1")
    monkeypatch.setattr(replaying, "replay", fail)
    with scripted_agent(node.socket, {method: ADDED}) as heard:
        assert "code" not in node.call(command, "c2")
    assert len(heard) == 1
    reason = f"{type(failure).__name__}: {failure}"
    assert node.last_line["warning"] == f"earlier releases of this pod stay pending: {reason}"


def test_the_release_of_a_conflicts_addresses_has_two_seconds_when_the_calls_time_is_over(node: Node) -> None:
    attachment = Attachment("c1", "eth0", "/n", {})
    with scripted_agent(node.socket, {b"DELETE": answer(200)}, delay=0.5) as heard:
        client = AgentClient(str(node.socket), Deadline(0))
        assert client.release_conflicting(attachment, NetConf({"name": "net", "ipam": {}})) == ""
    assert heard == [b"DELETE /v1/ipam/ips HTTP/1.1\r\n"]
    node.socket.unlink()
    with scripted_agent(node.socket, {b"DELETE": answer(200)}, delay=4):
        started = time.monotonic()
        assert client.release_conflicting(attachment, NetConf({"name": "net", "ipam": {}}))
        assert 1.9 <= time.monotonic() - started < 2 + SLACK / 5
