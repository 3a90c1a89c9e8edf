"""A point in time at which waiting ends. Side effects: reads the monotonic clock, and sleeps.

One deadline is made where the work starts and handed to everything that waits, so that no two waits add up.
"""

import time


class Deadline:
    """A moment on the monotonic clock, `seconds` from now; `float("inf")` never comes."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 when it has passed."""
        return max(0.0, self._at - time.monotonic())

    def require_left(self) -> float:
        """Return the seconds that are left; TimeoutError when it has passed."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def within(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and one that is `seconds` from now."""
        return Deadline(min(seconds, self._at - time.monotonic()))

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline."""
        time.sleep(min(seconds, self.left()))
