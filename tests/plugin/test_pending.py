"""Pending releases on disk: the files, their lock, what is kept of them."""

import json
import os
import posix
import stat
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cni.deadline import Deadline
from cni.plugin import pending
from tests.agent.agent_process import Agent, add_args
from tests.plugin.pending_releases import (
    EMBEDDED,
    answer,
    holding_elsewhere,
    release,
    replay,
    scripted_agent,
    sending_elsewhere,
    write,
)


def test_two_releases_of_one_attachment_are_one_line_of_one_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "state/pending"
    path = write(folder, tmp_path / "s", "u1")
    write(folder, tmp_path / "s", "u1")
    assert pending.count(str(folder)) == 1
    (record,) = map(json.loads, path.read_text().splitlines())
    assert record == {"time": record["time"], "socketPath": str(tmp_path / "s"), "release": release("u1")}
    assert abs(time.time() - record["time"]) < 60
    modes = [stat.S_IMODE(entry.stat().st_mode) for entry in (path, folder, folder.parent)]
    assert modes == [0o600, 0o700, 0o700]
    assert list(folder.iterdir()) == [path]


def test_no_folder_is_nothing_pending_and_is_not_made(tmp_path: Path) -> None:
    assert pending.count(str(tmp_path / "none/pending")) == 0
    assert replay(tmp_path / "none/pending") == ({}, [])
    assert not (tmp_path / "none").exists()


def test_forgetting_one_container_keeps_what_is_pending_of_the_pods_others(agent: Agent, tmp_path: Path) -> None:
    path = write(tmp_path / "pending", agent.socket_path, "u1", "old")
    assert write(tmp_path / "pending", agent.socket_path, "u1", "older") == path
    assert pending.count(str(tmp_path / "pending")) == 1
    assert pending.remove(str(path), release("u1", "old"), Deadline(10))
    assert not pending.remove(str(path), release("u1", "old"), Deadline(10))
    assert [json.loads(line)["release"]["containerID"] for line in path.read_text().splitlines()] == ["older"]
    assert pending.remove(str(path), release("u1", "older"), Deadline(10))
    assert not path.exists()


def test_what_cannot_be_written_is_an_os_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "file/pending", tmp_path / "s", "u1")
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    before = path.read_bytes()
    path.with_name(f"{path.name}.new").mkdir()  # in the way of the temporary file
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "pending", tmp_path / "s", "u1", "another")
    assert path.read_bytes() == before


def test_an_add_waits_for_a_release_of_its_own_attachment_that_is_under_way(tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    answers = {b"GET": EMBEDDED, b"DELETE": answer(200)}
    with scripted_agent(tmp_path / "s", answers, delay=1) as heard, sending_elsewhere(path.parent, heard):
        started = time.monotonic()
        assert path.exists(), "an ADD must see that a release is under way"
        pending.remove(str(path), release("u1"), Deadline(10))
        assert time.monotonic() - started > 0.7
    assert not path.exists()


def test_a_lock_that_is_not_let_go_is_an_error_in_time(tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    answers = {b"GET": EMBEDDED, b"DELETE": answer(200)}
    with (
        scripted_agent(tmp_path / "s", answers, delay=1) as heard,
        sending_elsewhere(path.parent, heard),
        pytest.raises(BlockingIOError),
    ):
        pending.remove(str(path), release("u1"), Deadline(0.2))


def _hold(held: Event, path: Path) -> None:
    with pending.Lock(str(path), Deadline(10)):
        held.set()
        time.sleep(60)


def _hold_as_0_1_0(held: Event, path: Path) -> None:
    with path.parent.with_suffix(".lock").open("w") as lock:
        os.lockf(lock.fileno(), os.F_LOCK, 0)
        held.set()
        time.sleep(60)


def test_the_lock_of_one_file_holds_up_no_other(tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    with holding_elsewhere(_hold, path):
        started = time.monotonic()
        other = write(tmp_path / "pending", tmp_path / "s", "u2")
        assert pending.remove(str(other), release("u2"), Deadline(10))
        assert time.monotonic() - started < 1
        with pytest.raises(BlockingIOError):
            pending.remove(str(path), release("u1"), Deadline(0))
    assert pending.remove(str(path), release("u1"), Deadline(0)), "the kernel ends the lock with the process"


def test_release_0_1_0_which_locks_all_files_at_once_is_waited_for_and_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    with holding_elsewhere(_hold_as_0_1_0, path), pytest.raises(BlockingIOError):
        pending.remove(str(path), release("u1"), Deadline(0))
    with holding_elsewhere(_hold, path), Path(f"{path.parent}.lock").open("w") as lock, pytest.raises(BlockingIOError):
        os.lockf(lock.fileno(), os.F_TLOCK, 0)


def test_a_lock_file_that_was_replaced_while_it_was_waited_for_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    name = Path(f"{path.parent}.lock")
    taken: list[int] = []

    def lockf(descriptor: int, command: int, length: int, take: Callable[[int, int, int], None] = posix.lockf) -> None:
        take(descriptor, command, length)
        taken.append(os.fstat(descriptor).st_ino)
        if len(taken) == 1:  # what uninstall does at the end, and the next DEL after it
            name.rename(f"{name}.old")
            name.touch()

    monkeypatch.setattr(posix, "lockf", lockf)
    with pending.Lock(str(path), Deadline(10)):
        assert taken[-1] == name.stat().st_ino
    assert len(taken) == 2


def test_a_lock_that_comes_free_after_the_last_pause_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    deadline = Deadline(0.5)
    tries: list[float] = []

    def lockf(descriptor: int, command: int, length: int, take: Callable[[int, int, int], None] = posix.lockf) -> None:
        tries.append(deadline.left())
        if deadline.left():
            raise BlockingIOError
        take(descriptor, command, length)

    monkeypatch.setattr(posix, "lockf", lockf)
    monkeypatch.setattr(pending, "_LOCK_PAUSE", 10)
    with pending.Lock(str(path), deadline):
        assert len(tries) == 2


def test_what_a_killed_process_had_begun_to_write_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "pending", tmp_path / "s", "u1")
    ours, before = path.with_name(f"{path.name}.new"), path.with_name(".new")  # 0.1.0 had one name for all
    for leftover in (ours, before):
        leftover.write_text('{"cut')
    with holding_elsewhere(_hold, path):
        pending.remove_leftovers(str(path.parent))
        assert sorted(path.parent.iterdir()) == [path, ours]
    replay(path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_pods_whose_names_are_cut_alike_share_a_file_and_are_told_apart(agent: Agent, tmp_path: Path) -> None:
    uids = ["x" * 250 + end for end in "ab"]
    for uid in uids:
        agent.add(add_args(uid, container=f"c{uid[-1]}"))
    paths = {write(tmp_path / "pending", agent.socket_path, uid, f"c{uid[-1]}") for uid in uids}
    assert len(paths) == 1
    assert pending.remove(str(paths.pop()), release(uids[0], "ca"), Deadline(10))
    assert replay(tmp_path / "pending")[0] == {"released": 1}
    assert [held["podUID"] for held in agent.allocations()] == uids[:1]
