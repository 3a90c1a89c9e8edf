"""Waiting in tests. A promised time is an upper bound only with SLACK on top, because a machine may be slow or busy."""

import time
from collections.abc import Callable

from tests.requirements import EMULATED

SLACK = 60.0 if EMULATED else 5.0  # seconds


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 25) -> float:
    """Wait until a condition holds, for `seconds` and SLACK at most; return how many seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds + SLACK, f"waited {seconds + SLACK} s for {what}"
        time.sleep(0.01)
    return time.monotonic() - started
