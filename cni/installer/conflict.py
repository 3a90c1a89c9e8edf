"""Counts the drifts of one object: when there are too many, others keep writing it, and repairing has to back off.

Drift is what others have changed of what install made. bundle/plugin_links.py and conflist/plan.py detect it,
reconciler.py repairs it. Side effect: reads the monotonic clock.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

from cni.installer.log_line import WARN

Object = Literal["plugin", "conflist"]
Reason = Literal["overwritten", "removed", "replaced"]

PLUGIN_DRIFT: dict[Reason, str] = {
    "overwritten": "its launcher was overwritten",
    "replaced": "it was replaced by another plugin",
    "removed": "it, or a file of its bundle, was removed",
}
CONFLICT_DRIFTS = 5  # more drifts of one object than these
CONFLICT_WINDOW = 600.0  # within so many seconds are a conflict: something else keeps writing the same object
BACK_OFF = 60.0  # seconds between two repairs during a conflict


class Conflict:
    """The last drifts of one object, and whether they are so many that repairing has to back off."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=CONFLICT_DRIFTS + 1)

    def add(self) -> None:
        """Note that the object has drifted and was repaired, now."""
        self._times.append(time.monotonic())

    @property
    def back_off(self) -> float:
        """The seconds until the object may be repaired again; 0 where there is no conflict."""
        now = time.monotonic()
        if len(self._times) <= CONFLICT_DRIFTS or now - self._times[0] >= CONFLICT_WINDOW:
            return 0
        return max(0, self._times[-1] + BACK_OFF - now)

    @staticmethod
    def warning(member: str) -> str:
        """Return what to say when repairing begins to back off; `member` is what others keep changing."""
        often = f"more than {CONFLICT_DRIFTS} times in {CONFLICT_WINDOW / 60:g} minutes"
        return (
            f"{WARN}others have changed {member} {often}: find out what else writes it. From now on it is repaired"
            f" at most every {BACK_OFF:g} s"
        )


class Drifts:
    """The drifts of both objects since the program started: counted, reported with `log`, and paced."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.repaired: Counter[tuple[Object, Reason]] = Counter()
        self._log = log
        self._conflicts: dict[Object, Conflict] = {"plugin": Conflict(), "conflist": Conflict()}

    def add(self, what: Object, reason: Reason, text: str, member: str = "") -> None:
        """Count a drift that was repaired, and report it; `member` is what others have changed."""
        self.repaired[what, reason] += 1
        self._log(text)
        conflict = self._conflicts[what]
        conflict.add()
        if conflict.back_off:
            self._log(conflict.warning(member or f"the {what}"))

    def back_off(self, what: Object) -> float:
        """Return the seconds until an object may be repaired again; 0 where there is no conflict about it."""
        return self._conflicts[what].back_off
