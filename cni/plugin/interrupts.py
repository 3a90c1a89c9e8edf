"""SIGTERM and SIGINT: they interrupt a call where it waits, and nowhere else. Side effect: the process's signals.

An exception that comes while pydantic-core works is swallowed there with words on stderr, or comes out as another one.
So the signals are blocked, and let in while the call waits for somebody.
"""

import posix
from _signal import SIG_BLOCK, SIG_UNBLOCK, SIGINT, SIGTERM, pthread_sigmask, signal

_signals: tuple[int, ...] = ()  # none where the plugin is no process of its own, as in tests
_is_over = False


def take_over() -> None:
    """Have SIGTERM and SIGINT interrupt what waits."""
    global _signals  # noqa: PLW0603  (one process is one call)
    _signals = (SIGTERM, SIGINT)
    pthread_sigmask(SIG_BLOCK, _signals)
    for number in _signals:
        signal(number, _stop)


def finish() -> None:
    """Let nothing interrupt what gives back and prints: the call has come to an end."""
    global _is_over  # noqa: PLW0603
    _is_over = True


class Waiting:
    """While the block lasts a signal may raise KeyboardInterrupt, once in a call."""

    def __enter__(self) -> None:
        pthread_sigmask(SIG_UNBLOCK, _signals)

    def __exit__(self, *_: object) -> None:
        pthread_sigmask(SIG_BLOCK, _signals)


def _stop(number: int, _frame: object) -> None:
    global _is_over  # noqa: PLW0603
    if not _is_over:
        _is_over = True
        raise KeyboardInterrupt(number)
    try:
        # A pipe that nobody reads must not hold what was told to end.
        posix.set_blocking(1, False)
    except OSError:
        pass  # there is no stdout
