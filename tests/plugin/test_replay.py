"""Pending releases are sent: to the embedded agent, and to one that answers as a real one."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from cni.deadline import Deadline
from cni.plugin import pending
from cni.plugin import replay as replaying
from tests.agent.agent_process import ROOT, Agent, add_args
from tests.plugin.pending_releases import (
    EMBEDDED,
    UNKNOWN_PATH,
    answer,
    path_of,
    release,
    replay,
    scripted_agent,
    sending_elsewhere,
    write,
)
from tests.waiting import SLACK


def test_the_embedded_agent_is_sent_what_is_pending_and_frees_it(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "pending"
    for uid in ("u1", "u2", "u3"):
        agent.add(add_args(uid))
    write(folder, agent.socket_path, "u1")
    write(folder, agent.socket_path, "u2")
    assert replay(folder) == ({"released": 2}, [])
    assert [held["podUID"] for held in agent.allocations()] == ["u3"]
    assert pending.count(str(folder)) == 0
    assert not list(folder.iterdir())


def test_a_late_release_of_an_earlier_container_leaves_the_living_one_its_address(agent: Agent, tmp_path: Path) -> None:
    agent.add(add_args("u1", "old"))
    write(tmp_path / "pending", agent.socket_path, "u1", "old")
    agent.add(add_args("u1", "new"))
    assert replay(tmp_path / "pending")[0] == {"released": 1}
    assert [held["containerIDs"] for held in agent.allocations()] == [["new"]]


@pytest.mark.parametrize("unknown", [UNKNOWN_PATH, answer(405), answer(501, b'"x"')], ids=["404", "405", "501"])
def test_a_real_agent_is_never_sent_a_late_release(unknown: bytes, tmp_path: Path) -> None:
    write(tmp_path / "pending", tmp_path / "s", "u1")
    with scripted_agent(tmp_path / "s", {b"GET": unknown, b"DELETE": answer(200)}) as heard:
        done, lines = replay(tmp_path / "pending")
    assert done == {"left_to_controller": 1}
    assert lines == ["pending release of eth0 of pod default/pod-u1, container c-u1: left to spiderpool-controller"]
    assert heard == [b"GET /v1/ipam/allocations HTTP/1.1\r\n"]
    assert pending.count(str(tmp_path / "pending")) == 0


@pytest.mark.parametrize(
    "answers",
    [
        None,
        {b"GET": b""},
        {b"GET": b"HTTP/1.1 2"},
        {b"GET": answer(500, b'"busy"')},
        {b"GET": answer(200)},
        {b"GET": answer(200, b'{"alloc')},
        {b"GET": answer(200, b'{"ok":true}')},
        {b"GET": EMBEDDED, b"DELETE": answer(500, b'"busy"')},
        {b"GET": EMBEDDED, b"DELETE": b""},
    ],
    ids=["nobody", "hangs up", "cut", "500", "empty", "half", "another", "DELETE 500", "DELETE hangs up"],
)
def test_what_no_agent_has_taken_is_kept(answers: dict[bytes, bytes] | None, tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    before = path.read_bytes()
    if answers is None:
        assert replay(tmp_path / "pending") == ({"kept": 1}, [])
    else:
        with scripted_agent(tmp_path / "s", answers):
            assert replay(tmp_path / "pending") == ({"kept": 1}, [])
    assert path.read_bytes() == before


def test_an_agent_that_hangs_is_asked_once_for_all_that_it_owes(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / "pending", tmp_path / "s", f"u{number}")
    started = time.monotonic()
    with scripted_agent(tmp_path / "s", {b"GET": EMBEDDED, b"DELETE": answer(200)}, delay=3) as heard:
        assert replay(tmp_path / "pending")[0] == {"kept": 20}
    assert [line.split()[0] for line in heard] == [b"GET", b"DELETE"]
    assert time.monotonic() - started < 4 + SLACK


DAY = 24 * 3600  # seconds


@pytest.mark.parametrize("days", [-400, 1], ids=["last year", "tomorrow"])  # a clock may have been set back
def test_a_release_is_kept_and_sent_whatever_its_age(days: int, tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "time": record["time"] + days * DAY}))
    before = path.read_text()
    assert replay(tmp_path / "pending") == ({"kept": 1}, [])
    assert path.read_text() == before
    with scripted_agent(tmp_path / "s", {b"GET": EMBEDDED, b"DELETE": answer(200)}):
        assert replay(tmp_path / "pending") == ({"released": 1}, [])


WHOLE = json.dumps({"time": 2**33, "socketPath": "/s", "release": release("u2")}).encode()


DAMAGES = {
    "empty": b"",
    "cut": WHOLE[:40],
    "not JSON": b"\x00\xff" * 20,
    "another's": b'{"name":"net","cniVersion":"1.0.0"}',
    "a list": b"[1]",
    "no container": WHOLE.replace(b"containerID", b"container"),
    "a text for the time": WHOLE.replace(b"8589934592", b'"now"'),
    "a time of 400 digits": WHOLE.replace(b"8589934592", b"9" * 400),
    "nested 10,000 deep": b"[" * 10_000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_dropped_and_stops_no_other(damage: bytes, agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "pending"
    for uid in ("u1", "u3"):
        agent.add(add_args(uid))
        write(folder, agent.socket_path, uid)
    Path(path_of(release("u2"), folder)).write_bytes(damage)
    done, lines = replay(folder)
    assert done == {"released": 2, "dropped": 1}
    assert lines == ["a pending release that is damaged: dropped"]
    assert not agent.allocations()
    assert pending.count(str(folder)) == 0


OUT_OF_DESCRIPTORS = """
import resource, sys
from cni.plugin import replay
lines = []
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))  # one beside stdin, stdout and stderr: that is the lock's
outcome = replay.replay(sys.argv[1], report=lines.append)
print(outcome.kept, outcome.dropped, lines)
"""


def test_a_file_that_cannot_be_read_at_present_is_kept_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    before = path.read_bytes()
    command = [sys.executable, "-c", OUT_OF_DESCRIPTORS, str(tmp_path / "pending")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"1 0 ['{path}: Too many open files']\n", done.stderr
    assert path.read_bytes() == before


def test_what_is_no_file_of_ours_is_left_alone(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "pending"
    write(folder, agent.socket_path, "u1")
    (folder / "notes.txt").write_text("an operator's")
    (folder / ".new").write_text('{"cut')
    (folder / "a-folder.release").mkdir()
    os.mkfifo(folder / "a-fifo.release")
    (folder / "a-link.release").symlink_to("/etc/hostname")
    done, lines = replay(folder)
    assert done["released"] == 1
    assert any("a-folder.release" in line for line in lines)
    assert (folder / "notes.txt").read_text() == "an operator's"
    assert Path("/etc/hostname").exists()
    assert replay(folder)[0].get("released") is None


def test_time_ends_between_two_releases_of_a_file(tmp_path: Path) -> None:
    for number in range(6):
        path = write(tmp_path / "pending", tmp_path / "s", "u1", f"c{number}")
    with scripted_agent(tmp_path / "s", {b"GET": EMBEDDED, b"DELETE": answer(200)}, delay=0.3) as heard:
        started = time.monotonic()
        done = replay(tmp_path / "pending", deadline=Deadline(1))[0]
        assert time.monotonic() - started < 1 + SLACK
    released, kept = done.get("released", 0), done["kept"]
    assert released + kept == 6
    assert 2 <= kept == len(path.read_text().splitlines())
    assert len([line for line in heard if line.startswith(b"DELETE")]) >= released


def test_files_whose_agents_hang_do_not_stand_before_the_others_for_ever(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_REQUEST_TIMEOUT", 0.05)
    write(tmp_path / "pending", agent.socket_path, "z")
    with ExitStack() as hanging:
        for number in range(4):
            listener = hanging.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(tmp_path / f"hangs{number}"))
            listener.listen()
            write(tmp_path / "pending", tmp_path / f"hangs{number}", f"a{number}")
        for _ in range(500):
            if replay(tmp_path / "pending", deadline=Deadline(0.05))[0].get("released"):
                return
    pytest.fail("the file behind them was never reached")


def test_a_file_that_another_process_sends_is_neither_waited_for_nor_complained_of(tmp_path: Path) -> None:
    write(tmp_path / "pending", tmp_path / "s", "u1")
    answers = {b"GET": EMBEDDED, b"DELETE": answer(200)}
    with scripted_agent(tmp_path / "s", answers, delay=1) as heard, sending_elsewhere(tmp_path / "pending", heard):
        started = time.monotonic()
        assert replay(tmp_path / "pending") == ({"kept": 1}, [])
        assert time.monotonic() - started < 0.5
    assert replay(tmp_path / "pending") == ({}, [])


def test_a_socket_that_is_not_to_be_asked_is_not(tmp_path: Path) -> None:
    write(tmp_path / "pending", tmp_path / "s", "u1")
    with scripted_agent(tmp_path / "s", {b"GET": EMBEDDED, b"DELETE": answer(200)}) as heard:
        assert replay(tmp_path / "pending", find_socket=lambda path: "") == ({"kept": 1}, [])
    assert not heard


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({b"GET": EMBEDDED}, replaying.EMBEDDED),
        ({b"GET": UNKNOWN_PATH}, replaying.REAL),
        ({b"GET": answer(500)}, replaying.SILENT),
        (None, replaying.ABSENT),
    ],
    ids=["embedded", "real", "fails", "nobody"],
)
def test_what_is_behind_a_socket(answers: dict[bytes, bytes] | None, kind: str, tmp_path: Path) -> None:
    with ExitStack() as agent:
        if answers:
            agent.enter_context(scripted_agent(tmp_path / "s", answers))
        assert replaying.Agents(str, Deadline(5)).kind(str(tmp_path / "s")) == kind
    if answers:  # the socket's file is still there
        assert replaying.Agents(str, Deadline(5)).kind(str(tmp_path / "s")) == replaying.ABSENT


def test_sockets_are_looked_for_where_the_node_is_mounted(agent: Agent, tmp_path: Path) -> None:
    agent.add(add_args("u1"))
    write(tmp_path / "pending", Path("/run/x.sock"), "u1")
    asked: list[str] = []

    def find_socket(path: str) -> str:
        asked.append(path)
        return str(agent.socket_path)

    assert replay(tmp_path / "pending", find_socket=find_socket)[0] == {"released": 1}
    assert set(asked) == {"/run/x.sock"}
    assert not agent.allocations()


def _replay_all(folder: str, start: Barrier, results: "multiprocessing.Queue[int]") -> None:
    start.wait()
    lines: list[str] = []
    released = 0
    for _ in range(3):
        released += replaying.replay(folder, report=lines.append).released
    assert not lines, lines
    results.put(released)


def test_many_processes_replay_at_once_and_nothing_is_lost(
    agent: Agent, tmp_path: Path, show: Callable[[str], None]
) -> None:
    folder, number = tmp_path / "pending", 60
    for index in range(number):
        agent.add(add_args(f"u{index}"))
        write(folder, agent.socket_path, f"u{index}")
    forks = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[int] = forks.Queue()
    together = forks.Barrier(6)
    replayers = [forks.Process(target=_replay_all, args=(str(folder), together, results)) for _ in range(6)]
    for process in replayers:
        process.start()
    released = [results.get(timeout=60) for _ in replayers]
    for process in replayers:
        process.join()
    assert [process.exitcode for process in replayers] == [0] * 6
    show(f"6 processes replayed {number} releases at once: {released}, each once")
    assert sum(released) == number
    assert len([share for share in released if share]) > 1, "they did not get in each other's way"
    assert not agent.allocations()
    assert pending.count(str(folder)) == 0
