"""SIGTERM and SIGINT interrupt a call while it waits, and at no other time. Side effect: the process's signals.

If Python raised an exception while pydantic-core works, pydantic-core would print it on stderr and go on, or turn it
into another one. So both signals are blocked, and let in only while the call waits for somebody.
"""

import posix
from _signal import SIG_BLOCK, SIG_UNBLOCK, SIGINT, SIGTERM, pthread_sigmask, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from cni.deadline import Deadline

_LONGEST_WAIT = 1.0  # seconds
_signals: tuple[int, ...] = ()  # none unless take_over was called: tests run the plugin in their own process
_is_over = False


def take_over() -> None:
    """From now on, let SIGTERM and SIGINT interrupt the call while it waits."""
    global _signals  # noqa: PLW0603  (one process is one call)
    _signals = (SIGTERM, SIGINT)
    pthread_sigmask(SIG_BLOCK, _signals)
    for number in _signals:
        signal(number, _stop)


def finish() -> None:
    """Let nothing interrupt the call any more: from here on it only gives back, prints and logs."""
    global _is_over  # noqa: PLW0603
    _is_over = True


class Waiting:
    """While the block lasts a signal may raise KeyboardInterrupt, once in a call."""

    def __enter__(self) -> None:
        pthread_sigmask(SIG_UNBLOCK, _signals)

    def __exit__(self, *_: object) -> None:
        pthread_sigmask(SIG_BLOCK, _signals)


def receive(connection: "socket", size: int, deadline: "Deadline") -> bytes:
    """Return the next bytes, b"" at the end of the stream. TimeoutError at the deadline.

    The kernel is not asked to wait for long at a time: a signal that comes at the last moment before it begins to wait
    does not end that wait, and is noticed only afterwards.
    """
    while True:
        connection.settimeout(min(deadline.require_left(), _LONGEST_WAIT))
        try:
            return connection.recv(size)
        except TimeoutError:
            continue


def _stop(number: int, _frame: object) -> None:
    global _is_over  # noqa: PLW0603
    if not _is_over:
        _is_over = True
        raise KeyboardInterrupt(number)
    try:
        # The call is over and only has to print: a stdout that nobody reads must not hold the process.
        posix.set_blocking(1, False)
    except OSError:
        pass  # there is no stdout
