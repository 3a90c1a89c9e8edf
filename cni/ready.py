"""Waiting for a descriptor with poll, because select refuses those above 1023, which a busy process has.

A descriptor that is closed, or whose other end is, counts as ready: what is done with it next tells the error.
"""

import select

_FOR_EVER = float("inf")
_MOST = 1e6  # seconds; poll takes no more than 2147483647 ms


def to_read(descriptor: int, seconds: float = _FOR_EVER) -> bool:
    """Wait until there is something to read, or the end; False after `seconds`. ValueError for a negative number."""
    return _wait(descriptor, select.POLLIN, seconds)


def to_write(descriptor: int, seconds: float = _FOR_EVER) -> bool:
    """Wait until there is room for something; False after `seconds`. ValueError for a negative number."""
    return _wait(descriptor, select.POLLOUT, seconds)


def _wait(descriptor: int, event: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, event)
    return bool(poller.poll(None if seconds > _MOST else seconds * 1000))
