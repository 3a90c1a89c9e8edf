"""How long a fault may pass by itself: what is being written becomes whole, and what was removed comes back.

A fault that a check does not meet has passed: when it comes again, it has its whole time anew, whatever other faults
stand meanwhile. Side effect: reads the monotonic clock.
"""

from cni.deadline import Deadline


class Graces:
    """The faults that the present check and the last one have met, and until when each may pass by itself."""

    def __init__(self) -> None:
        self._until: dict[type[Exception], Deadline] = {}
        self._met: set[type[Exception]] = set()

    def begin_check(self) -> None:
        """Forget the faults that the last check has not met."""
        self._until = {kind: until for kind, until in self._until.items() if kind in self._met}
        self._met = set()

    def left(self, error: Exception, seconds: float) -> float:
        """Return for how many more of its `seconds` this fault may pass by itself; faults of one kind are one fault."""
        self._met.add(type(error))
        return self._until.setdefault(type(error), Deadline(seconds)).left()
