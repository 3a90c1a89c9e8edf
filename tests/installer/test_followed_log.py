"""A log that grows, is set aside, truncated, cut, late or long, and is no log at all."""

import os
import socket
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.input_file import NotReadableError
from cni.installer import followed_log
from cni.installer.followed_log import PIECE, FollowedLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def new(log: FollowedLog) -> list[bytes]:
    log.look()
    return read(log)


def read(log: FollowedLog) -> list[bytes]:
    return [line for lines in log.lines() for line in lines]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def started(path: Path, old: bytes = b"old\n") -> FollowedLog:
    path.write_bytes(old)
    log = FollowedLog(path)
    assert new(log) == []
    return log


def test_what_is_there_at_the_first_look_is_not_read_and_what_is_appended_is_read_once(path: Path) -> None:
    log = started(path)
    append(path, b"a\nb\n")
    assert new(log) == [b"a", b"b"]
    assert new(log) == []


def test_a_log_that_appears_later_is_read_from_its_beginning(path: Path) -> None:
    log = FollowedLog(path)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            log.look()
        assert read(log) == []
    path.write_bytes(b"a\n")
    assert new(log) == [b"a"]


@pytest.mark.parametrize("old", [b"old\nhal", b"hal"])
def test_a_line_that_is_being_written_at_the_first_look_is_new(path: Path, old: bytes) -> None:
    log = started(path, old)
    append(path, b"f\na\n")
    assert new(log) == [b"half", b"a"]


def test_a_line_comes_when_it_is_complete(path: Path) -> None:
    log = started(path)
    append(path, b"ha")
    assert new(log) == []
    append(path, b"lf\n")
    assert new(log) == [b"half"]


def test_a_beginning_that_its_writer_takes_back_is_no_truncation(path: Path) -> None:
    """The plugin does so on a full disk."""
    log = started(path)
    append(path, b"a\nhalf of b")
    assert new(log) == [b"a"]
    os.truncate(path, len(b"old\na\n"))
    append(path, b"c\n")
    assert new(log) == [b"c"]


def test_a_log_that_was_set_aside_is_read_to_its_end_and_the_new_one_from_its_beginning(path: Path) -> None:
    log = started(path)
    append(path, b"a\n")
    path.rename(path.with_name("aside"))
    path.write_bytes(b"b\n")
    assert new(log) == [b"a", b"b"]


def test_a_line_that_comes_late_to_what_was_set_aside_is_read(path: Path) -> None:
    log = started(path)
    with path.open("ab", buffering=0) as late:
        path.rename(path.with_name("aside"))
        with pytest.raises(FileNotFoundError):
            log.look()
        path.write_bytes(b"b\n")
        assert new(log) == [b"b"]
        late.write(b"a\n")
        assert new(log) == [b"a"]


@pytest.mark.parametrize("late", [0.0, 5.0], ids=["closed meanwhile", "still open"])
def test_a_log_that_is_moved_away_and_back_is_not_read_again(
    path: Path, late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "LATE", late)
    log = started(path)
    append(path, b"a\n")
    assert new(log) == [b"a"]
    before = descriptors()
    aside = path.with_name("aside")
    path.rename(aside)
    with pytest.raises(FileNotFoundError):
        log.look()
    assert read(log) == []
    append(aside, b"b\n")
    aside.rename(path)
    append(path, b"c\n")
    assert new(log) == [b"b", b"c"]
    assert new(log) == []
    assert descriptors() == before


def test_a_new_log_that_gets_the_number_of_the_old_one_is_read_from_its_beginning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "LATE", 0.0)
    log = started(path)
    append(path, b"an old line\n")
    assert new(log) == [b"an old line"]
    path.rename(path.with_name("aside"))
    with pytest.raises(FileNotFoundError):
        log.look()
    assert read(log) == []
    path.with_name("aside").rename(path)
    path.write_bytes(b"a new line, that is longer\n")
    assert new(log) == [b"a new line, that is longer"]


def test_what_was_set_aside_is_let_go_after_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_log, "LATE", 0.0)
    log = started(path)
    before = descriptors()
    for number in range(20):
        path.rename(path.with_name(f"aside{number}"))
        path.write_bytes(b"a\n")
        assert new(log) == [b"a"]
    assert descriptors() == before


def test_few_files_are_held_open_however_often_the_log_is_set_aside(path: Path) -> None:
    log = started(path)
    before = descriptors()
    for number in range(20):
        path.rename(path.with_name(f"aside{number}"))
        path.write_bytes(b"a\n")
        assert new(log) == [b"a"]
    assert descriptors() <= before + 3
    log.close()
    assert descriptors() == before - 1


@pytest.mark.parametrize("more", [b"", b"b\n", b"b\n" * 100])
def test_a_truncated_log_is_read_from_its_beginning_also_if_it_is_longer_by_now(path: Path, more: bytes) -> None:
    log = started(path, b"an older line\n")
    append(path, b"a\n")
    assert new(log) == [b"a"]
    os.truncate(path, 0)
    append(path, more)
    assert new(log) == more.split(b"\n")[:-1]
    append(path, b"c\n")
    assert new(log) == [b"c"]


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_a_line_that_is_too_long_is_one_line_without_text_and_the_next_one_is_read(path: Path, size: int) -> None:
    log = started(path)
    append(path, b"x" * size + b"\na\n")
    found = new(log)
    assert found[-1] == b"a"
    assert found[:-1] == ([b""] if size >= PIECE else [b"x" * size])


def test_a_line_that_is_too_long_may_come_in_parts(path: Path) -> None:
    log = started(path)
    found = []
    for _ in range(5):
        append(path, b"x" * (PIECE // 2))
        found += new(log)
    append(path, b"x\na\n")
    assert [*found, *new(log)] == [b"", b"a"]


def test_a_log_that_ends_in_a_line_that_is_too_long_is_new_behind_it(path: Path) -> None:
    log = started(path, b"old\n" + b"x" * (2 * PIECE))
    append(path, b"xxx\na\n")
    assert new(log) == [b"a"]


def test_memory_holds_one_piece_whatever_the_log_holds(path: Path) -> None:
    log = started(path)
    append(path, b"x" * (50 * PIECE) + b"\n" + (b"x" * 400 + b"\n") * 50_000)
    log.look()
    tracemalloc.start()
    count = sum(map(len, log.lines()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_001
    assert peak < 8 * PIECE


@pytest.mark.parametrize("kind", ["folder", "fifo", "socket", "device", "circle"])
def test_what_is_no_file_is_refused_without_waiting(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "circle":
        path.symlink_to(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    with pytest.raises(OSError):
        FollowedLog(path).look()


def test_a_fifo_that_takes_the_place_of_the_log_does_not_hold_up_its_last_lines(path: Path) -> None:
    log = started(path)
    append(path, b"a\n")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NotReadableError, match="a FIFO"):
        log.look()
    assert read(log) == [b"a"]


@given(deeds=st.lists(st.sampled_from(["line", "half", "rename", "late", "truncate", "look"]), max_size=40))
def test_whatever_becomes_of_a_log_each_line_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[str]
) -> None:
    """But those that were truncated before the look, and those of a file that was set aside twice before it."""
    path = tmp_path_factory.mktemp("t") / "log"
    log = started(path)
    found: list[bytes] = []
    wanted: list[bytes] = []  # in any order
    here: list[bytes] = []  # lines of the present file that no look has seen
    aside = path.with_name("aside")
    is_renamed = False
    for number, deed in enumerate(deeds):
        text = b"line %d" % number
        if deed == "line" or (deed == "late" and not aside.exists()):
            append(path, text + b"\n")
            here.append(text)
        elif deed == "half":
            size = path.stat().st_size
            append(path, text)
            found += new(log)
            wanted, here, is_renamed = [*wanted, *here], [], False
            os.truncate(path, size)
        elif deed == "late":
            append(aside, text + b"\n")
            wanted.append(text)
        elif deed == "truncate":
            os.truncate(path, 0)
            here.clear()
        if deed == "look" or (deed == "rename" and is_renamed):
            found += new(log)
            wanted, here, is_renamed = [*wanted, *here], [], False
        if deed == "rename":
            path.rename(aside)
            path.touch()
            wanted, here, is_renamed = [*wanted, *here], [], True
    found += new(log)
    log.close()
    assert sorted(found) == sorted([*wanted, *here])
