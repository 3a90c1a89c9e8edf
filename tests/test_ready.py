"""Waiting for a descriptor, whatever its number is."""

import fcntl
import os
import resource
import time
from collections.abc import Iterator

import pytest

from cni import ready
from cni.installer.log_queue import LogQueue
from tests.waiting import SLACK

Pipe = tuple[int, int]


@pytest.fixture(params=[3, 1024, 3000])
def pipe(request: pytest.FixtureRequest) -> Iterator[Pipe]:
    """A pipe whose descriptors have at least this number; select() refuses those above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    low = os.pipe()
    reading, writing = (fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, request.param) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_waits_for_something_to_read_and_no_longer_than_it_may(pipe: Pipe) -> None:
    reading, writing = pipe
    started = time.monotonic()
    assert not ready.to_read(reading, 0)
    assert not ready.to_read(reading, 0.2)
    assert 0.2 <= time.monotonic() - started < 0.2 + SLACK
    os.write(writing, b"x")
    assert ready.to_read(reading)
    assert ready.to_read(reading, 0)


def test_it_waits_for_room_and_no_longer_than_it_may(pipe: Pipe) -> None:
    _, writing = pipe
    assert ready.to_write(writing)
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    assert not ready.to_write(writing, 0)
    assert not ready.to_write(writing, 0.001)


def test_what_is_closed_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert ready.to_read(reading)
    os.close(reading)
    assert ready.to_write(writing)
    with pytest.raises(ValueError, match="negative"):
        ready.to_read(-1)


def test_lines_are_written_to_a_log_with_such_a_number(pipe: Pipe) -> None:
    reading, writing = pipe
    log = LogQueue(writing, str)
    log.write("one")
    log.close(SLACK)
    assert os.read(reading, 100) == b"one\n"
