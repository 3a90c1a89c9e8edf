"""Lines for a reader that may not be there."""

import os
import time
from pathlib import Path

from cni.installer.log_queue import LogQueue
from tests.waiting import SLACK


def read_all(descriptor: int, until: bytes) -> list[str]:
    found = b""
    while until not in found:
        found += os.read(descriptor, 65536)
    return found.decode().splitlines()


def test_lines_come_in_their_order_and_close_waits_for_them(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = LogQueue(file.fileno(), str)
        for number in range(500):
            log.write(f"line {number}")
        log.close(SLACK)
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(500)]


def test_without_a_reader_nothing_waits_and_the_reader_is_told_how_many_lines_are_missing() -> None:
    reading, writing = os.pipe()
    log = LogQueue(writing, str)
    started = time.monotonic()
    for number in range(20000):
        log.write(f"line {number:5} {'x' * 100}")
    log.close(0.1)
    assert time.monotonic() - started < 1 + SLACK
    lines = read_all(reading, b"line 19999")
    lines += read_all(reading, b"\n") if not lines[-1].endswith("x" * 100) else []
    kept = [line for line in lines if line.startswith("line")]
    told = [int(line[3:].split()[0]) for line in lines if "dropped: not read in time" in line]
    assert sum(told) == 20000 - len(kept) > 15000
    assert kept == sorted(kept)
    os.close(reading)


def test_a_reader_that_has_gone_and_a_closed_stderr_are_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for descriptor in (writing, -1):
        log = LogQueue(descriptor, str)
        log.write("one")
        log.write("two")
        log.close(SLACK)


def test_after_a_full_disk_the_number_of_lost_lines_is_told() -> None:
    """Of a device that is always full, and a pipe in its place when there is room again."""
    reading, writing = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)
    descriptor = os.dup(full)
    log = LogQueue(descriptor, str)
    log.write("one")
    log.close(SLACK)
    os.dup2(writing, descriptor)
    log.write("two")
    assert read_all(reading, b"two\n") == ["<4>1 earlier line of this log was dropped: not read in time", "two"]


def test_a_pipe_that_does_not_block_and_a_name_that_is_not_utf_8() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    log = LogQueue(writing, str)
    for _ in range(2):
        log.write("x" * 100000)
    log.write("\udcff")
    assert len(read_all(reading, b"\\udcff\n")) == 3
