"""Calls around releases that were not taken: the plugin in process, the embedded agent and agents that fail."""

import fcntl
import multiprocessing
import multiprocessing.synchronize
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni.plugin import operations, pending
from cni.plugin import replay as replaying
from tests.agent.agent_process import Agent, pool, running_agent, write_pools
from tests.plugin.node import Node
from tests.plugin.pending_releases import EMBEDDED, UNKNOWN_PATH, answer, scripted_agent
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


def test_a_del_that_nobody_hears_succeeds_and_is_done_by_the_next_that_is_heard(node: Node) -> None:
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
        assert held(agent) == []
    assert node.containers() == []


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


def test_a_del_replays_one_and_gc_all(node: Node) -> None:
    with embedded_agent(node):
        for number in range(5):
            node.call("ADD", f"c{number}", f"u{number}")
    for number in range(4):
        node.call("DEL", f"c{number}", f"u{number}")
    assert len(node.containers()) == 4
    with embedded_agent(node) as agent:
        node.call("DEL", "c4", "u4")
        assert (len(node.containers()), len(held(agent))) == (3, 3)
        assert node.call("GC") == {}
        assert (node.containers(), held(agent)) == ([], [])


def test_beside_a_real_agent_what_is_pending_is_left_to_its_controller_and_logged(node: Node) -> None:
    node.call("DEL", "c1", "u1")
    with scripted_agent(node.socket, {b"DELETE": answer(200), b"GET": UNKNOWN_PATH}) as heard:
        assert node.call("DEL", "c2", "u2") == {}
    assert node.containers() == []
    (line,) = node.last_line["pending"]
    assert line.endswith("container c1: left to spiderpool-controller")
    assert [line.split()[0] for line in heard] == [b"DELETE", b"GET"]


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


def test_an_add_whose_pending_release_cannot_be_removed_fails_before_it_asks(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.call("DEL")
    monkeypatch.setattr(pending, "LOCK_TIMEOUT", 0.2)
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
    assert "cannot be written down" in words
    assert "not found" not in words
    assert "no such file" not in words


def _hold_lock(path: str, held: "multiprocessing.synchronize.Event") -> None:
    with Path(path).open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        held.set()
        time.sleep(60)


def test_a_del_that_finds_others_writing_all_the_time_says_so(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr(operations, "LIMITS", {"DEL": (0.5, 2, 0.2)})
    node.folder.parent.mkdir(parents=True, exist_ok=True)
    forks = multiprocessing.get_context("fork")
    held = forks.Event()
    other = forks.Process(target=_hold_lock, args=(f"{node.folder}.lock", held))
    other.start()
    try:
        assert held.wait(10)
        printed = node.call("DEL")
    finally:
        other.kill()
        other.join()
    assert printed["code"] == 11
    assert "others are writing there all the time" in printed["msg"]
    assert "disk" not in printed["msg"]


def test_an_add_takes_two_seconds_at_most_for_what_the_pods_earlier_containers_hold(node: Node) -> None:
    for number in range(8):
        node.call("DEL", f"c{number}")
    answers = {b"POST": ADDED, b"GET": EMBEDDED, b"DELETE": answer(200)}
    with scripted_agent(node.socket, answers, delay=1):
        started = time.monotonic()
        assert node.call("ADD", "c8")["ips"]
        assert time.monotonic() - started < 2 + SLACK
    assert 0 < len(node.containers()) < 8


def test_what_is_pending_is_logged_as_a_warning_and_an_agents_words_are_cut(node: Node) -> None:
    with scripted_agent(node.socket, {b"DELETE": answer(500, b'"' + b"x" * 8_000_000 + b'"')}):
        assert node.call("DEL", log_level="warn") == {}
    assert node.last_line["level"] == "warn"
    assert node.last_line["warning"].startswith(
        "the release is pending: code 11: the agent failed to release the address; xxx"
    )
    assert node.log.stat().st_size < 70_000


def test_other_releases_that_cannot_be_looked_at_fail_no_del(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OverflowError("by hand")

    node.call("DEL", "c1", "u1")
    monkeypatch.setattr(replaying, "replay", fail)
    with scripted_agent(node.socket, {b"DELETE": answer(200)}):
        assert node.call("DEL", "c2", "u2") == {}
    assert node.last_line["warning"] == "other releases stay pending: by hand"
