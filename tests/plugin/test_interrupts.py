"""Waiting, which a deadline or a signal ends; the signals of a whole call are in tests/e2e/test_signals.py.

Each test that has to do with signals runs in a process of its own, because a process is told to end only once.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cni.deadline import Deadline
from cni.plugin import interrupts
from tests.requirements import ROOT
from tests.waiting import SLACK

# Run in a child: `told()` sends it SIGTERM, as somebody else would.
PROLOGUE = """
import os, posix, select, signal, socket, sys, threading, time
from cni.deadline import Deadline
from cni.plugin import interrupts
interrupts.take_over()
ours, theirs = socket.socketpair()
ours.setblocking(False)
def told(after=0.0):
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGTERM)).start()
    if not after:
        time.sleep(0.2)
def outcome(wait, *arguments, **options):
    started = time.monotonic()
    try:
        return wait(*arguments, **options)
    except (KeyboardInterrupt, TimeoutError) as raised:
        return f"{type(raised).__name__}({raised}) after {time.monotonic() - started:.0f} s"
"""


def run(script: str) -> str:
    """Run a script in a process of its own; return what it printed."""
    command = [sys.executable, "-c", PROLOGUE + script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def test_a_signal_ends_a_wait_for_bytes_and_a_pause() -> None:
    assert run("told(0.2); print(outcome(interrupts.receive, ours, 10, Deadline(20)))") == (
        "KeyboardInterrupt(SIGTERM) after 0 s"
    )
    assert run("told(0.2); print(outcome(interrupts.sleep, 20))") == "KeyboardInterrupt(SIGTERM) after 0 s"


def test_a_signal_that_came_before_the_wait_is_not_lost() -> None:
    assert run("told(); print(outcome(interrupts.receive, ours, 10, Deadline(20)))") == (
        "KeyboardInterrupt(SIGTERM) after 0 s"
    )
    assert run("told(); print(outcome(interrupts.sleep, 20))") == "KeyboardInterrupt(SIGTERM) after 0 s"
    assert run("told(); print(outcome(interrupts.check))") == "KeyboardInterrupt(SIGTERM) after 0 s"


def test_bytes_that_are_there_go_before_a_signal() -> None:
    assert run("theirs.send(b'done'); told(); print(outcome(interrupts.receive, ours, 10, Deadline(20)))") == (
        "b'done'"
    )


def test_a_call_that_is_over_is_ended_by_no_signal_but_waits_no_longer_for_a_reader() -> None:
    script = """
interrupts.finish()
told()
print(outcome(interrupts.receive, ours, 10, Deadline(0.3)), outcome(interrupts.sleep, 0.1), outcome(interrupts.check))
reader, writer = os.pipe()
interrupts.write(writer, b"fits", Deadline(20))
print(outcome(interrupts.write, writer, bytes(200_000), Deadline(20)))
"""
    assert run(script).splitlines() == ["TimeoutError() after 0 s None None", "KeyboardInterrupt(SIGTERM) after 0 s"]


def test_a_signal_that_came_before_does_not_cut_off_what_is_printed_to_a_slow_reader() -> None:
    script = """
told()
interrupts.finish()
reader, writer = os.pipe()
def read_slowly():
    left = 200_000
    time.sleep(0.3)
    while left:
        left -= len(os.read(reader, 65536))
threading.Thread(target=read_slowly).start()
print(outcome(interrupts.write, writer, bytes(200_000), Deadline(20)))
"""
    assert run(script) == "None"


def test_nothing_is_noted_by_a_process_that_has_not_taken_over() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interrupts.check()
    started = time.monotonic()
    interrupts.sleep(0.1)
    assert time.monotonic() - started >= 0.1
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_bytes_that_come_late_are_received_and_the_deadline_ends_the_wait(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        interrupts.receive(pair[0], 10, Deadline(0.2))
    assert 0.2 <= time.monotonic() - started < 0.2 + SLACK
    timer = threading.Timer(0.2, pair[1].sendall, (b"late",))
    timer.start()
    assert interrupts.receive(pair[0], 10, Deadline(5)) == b"late"
    timer.join()
    pair[1].close()
    assert interrupts.receive(pair[0], 10, Deadline(5)) == b""


def test_somebody_who_always_has_more_to_say_is_listened_to_until_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    stop = threading.Event()

    def talk() -> None:
        pair[1].settimeout(0.1)
        while not stop.is_set():
            with suppress(TimeoutError):
                pair[1].sendall(bytes(4096))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        started, deadline = time.monotonic(), Deadline(0.3)
        with pytest.raises(TimeoutError):
            while interrupts.receive(pair[0], 10, deadline):
                pass
        assert time.monotonic() - started < 0.3 + SLACK
    finally:
        stop.set()
        thread.join()


def test_more_than_a_socket_takes_at_once_is_sent_as_the_other_side_reads(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sent, received = os.urandom(2_000_000), bytearray()

    def read() -> None:
        while len(received) < len(sent):
            received.extend(pair[1].recv(65536))

    thread = threading.Thread(target=read)
    thread.start()
    interrupts.send(pair[0], sent, Deadline(20))
    thread.join()
    assert received == sent
    with pytest.raises(TimeoutError):
        interrupts.send(pair[0], sent, Deadline(0.2))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_is_read_and_written_until_the_deadline_whether_or_not_it_blocks(blocking: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, blocking)
    os.set_blocking(writer, blocking)
    with pytest.raises(TimeoutError):
        interrupts.read(reader, 10, Deadline(0.1))
    timer = threading.Timer(0.2, os.write, (writer, b"late"))
    timer.start()
    assert interrupts.read(reader, 10, Deadline(20)) == b"late"
    timer.join()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        interrupts.write(writer, bytes(200_000), Deadline(0.3))
    assert time.monotonic() - started < 0.3 + SLACK
    assert os.get_blocking(writer) == blocking, "others have this pipe open as well"
    os.close(writer)
    while interrupts.read(reader, 65536, Deadline(20)):
        pass
    os.close(reader)


def test_what_another_process_has_taken_from_a_pipe_is_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    ready: list[int] = []

    def wait(descriptor: int, event: int, deadline: Deadline) -> None:
        ready.append(event)
        if len(ready) == 2:
            os.write(writer, b"x")

    monkeypatch.setattr(interrupts, "wait", wait)
    assert interrupts.read(reader, 10, Deadline(5)) == b"x"
    assert ready == [select.POLLIN] * 2
    os.close(reader)
    os.close(writer)
