"""Waits: for a descriptor, or for time to pass, until a deadline comes or SIGTERM or SIGINT. Side effect: the process's
signals.

A signal ends a call while it waits, and at no other time: raised while pydantic-core works, an exception would be
printed on stderr, or turned into another one. So the handlers only note the signal. The kernel's part of it is written
into a pipe, which every wait looks at beside its own descriptor, so that a signal is noticed whenever it comes. The
launcher blocks both signals until the handlers are there.
"""

import posix
import time
from _signal import SIG_UNBLOCK, SIGINT, SIGTERM, pthread_sigmask, set_wakeup_fd, signal
from select import POLLIN, POLLOUT, poll

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from cni.deadline import Deadline

_NAMES = {SIGINT: "SIGINT", SIGTERM: "SIGTERM"}
_WRITE_SIZE = 4096  # bytes; a pipe that is ready takes so many at once (PIPE_BUF)

# One process is one call. Nothing is watched unless take_over was called: tests, and the operator's program, wait too.
_wakeup = -1
_told: list[str] = []
_is_over = False


def take_over() -> None:
    """From now on, let SIGTERM and SIGINT end the call while it waits."""
    global _wakeup
    _wakeup, end = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
    set_wakeup_fd(end, warn_on_full_buffer=False)
    for number in _NAMES:
        signal(number, _note)
    pthread_sigmask(SIG_UNBLOCK, _NAMES)


def finish() -> None:
    """Let nothing end the call any more: from here on it only gives back, writes down, prints and logs.

    A signal that came before does not keep it from waiting for a slow reader of its output; another one does.
    """
    global _is_over  # noqa: PLW0603
    _is_over = True
    if _wakeup >= 0 and _told:  # looked at first, because an empty pipe is an exception, which takes longer than a look
        try:
            posix.read(_wakeup, 64)
        except BlockingIOError:
            pass  # nothing is left of it


def check() -> None:
    """Raise KeyboardInterrupt if the call was told to end."""
    if _told and not _is_over:
        raise KeyboardInterrupt(_told[0])


def wait(descriptor: int, event: int, deadline: "Deadline", *, is_output: bool = False) -> None:
    """Return when the descriptor is ready. KeyboardInterrupt where the call is told to end, TimeoutError at the
    deadline.

    What is ready goes first: an answer that has come is not lost to a signal. But nothing is taken after the deadline:
    somebody who always has more to say would hold the call. Waiting for room for output (`is_output`) ends with a
    signal even when the call is over.
    """
    left = deadline.left()
    if not left and not is_output:
        raise TimeoutError
    poller = poll()
    poller.register(descriptor, event)
    if _wakeup >= 0 and (is_output or not _is_over):
        poller.register(_wakeup, POLLIN)
    ready = [number for number, _ in poller.poll(_milliseconds(left))]
    if descriptor in ready:
        return
    if ready:
        raise KeyboardInterrupt(_told[0] if _told else "")
    raise TimeoutError


def sleep(seconds: float) -> None:
    """Let time pass. KeyboardInterrupt where the call is told to end."""
    if _wakeup < 0 or _is_over:
        return time.sleep(seconds)
    poller = poll()
    poller.register(_wakeup, POLLIN)
    if poller.poll(_milliseconds(seconds)):
        check()
    return None


def read(descriptor: int, size: int, deadline: "Deadline") -> bytes:
    """Return the next bytes of a file, b"" at its end, whether or not its reads block. Raises as `wait`, OSError."""
    while True:
        wait(descriptor, POLLIN, deadline)
        try:
            return posix.read(descriptor, size)
        except BlockingIOError:
            continue  # another process has taken them


def write(descriptor: int, data: bytes, deadline: "Deadline") -> None:
    """Print all bytes, whether or not writes to the descriptor block. Raises as `wait`, OSError."""
    while data:
        wait(descriptor, POLLOUT, deadline, is_output=True)
        try:
            data = data[posix.write(descriptor, data[:_WRITE_SIZE]) :]
        except BlockingIOError:
            continue


def receive(connection: "socket", size: int, deadline: "Deadline") -> bytes:
    """Return the next bytes of a non-blocking socket, b"" at the end of the stream. Raises as `wait`, OSError."""
    while True:
        wait(connection.fileno(), POLLIN, deadline)
        try:
            return connection.recv(size)
        except BlockingIOError:
            continue


def send(connection: "socket", data: bytes, deadline: "Deadline") -> None:
    """Send all bytes through a non-blocking socket. Raises as `wait`, OSError."""
    while data:
        try:
            data = data[connection.send(data) :]
        except BlockingIOError:
            wait(connection.fileno(), POLLOUT, deadline)


def _milliseconds(seconds: float) -> float | None:
    return None if seconds > 1e6 else seconds * 1000


def _note(number: int, _frame: object) -> None:
    _told.append(_NAMES.get(number, str(number)))
