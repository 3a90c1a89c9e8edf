"""Waiting for bytes, which a signal ends; the signals of a whole call are in tests/e2e/test_signals.py."""

import ctypes
import operator
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from cni.deadline import Deadline
from cni.plugin import interrupts
from tests.waiting import SLACK


class ToldError(Exception):
    pass


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class LastMoment:
    """A connection whose waiting begins just after a signal has come: no Python code runs between the two."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.settimeout = connection.settimeout

    def recv(self, size: int) -> Any:
        # What the C part of a signal's handler does: the Python part is run before the next bytecode.
        note_signal = ctypes.pythonapi.PyErr_SetInterruptEx
        steps: list[Any] = [partial(note_signal, signal.SIGUSR1), partial(self._connection.recv, size)]
        return list(map(operator.call, steps))[1]


def test_a_signal_at_the_last_moment_before_the_wait_is_noticed_long_before_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise ToldError

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        started = time.monotonic()
        with pytest.raises(ToldError):
            interrupts.receive(LastMoment(pair[0]), 10, Deadline(60))  # type: ignore[arg-type]
        assert time.monotonic() - started < 1 + SLACK
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_bytes_that_come_after_several_waits_are_received(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "_LONGEST_WAIT", 0.05)
    with pytest.raises(TimeoutError):
        interrupts.receive(pair[0], 10, Deadline(0.2))
    pair[1].sendall(b"late")
    assert interrupts.receive(pair[0], 10, Deadline(5)) == b"late"
    pair[1].close()
    assert interrupts.receive(pair[0], 10, Deadline(5)) == b""
