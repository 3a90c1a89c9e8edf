"""Says how long ago something was, in the unit that a person would use. Side effect: reads the clock."""

import time

_UNITS = ((24 * 3600, "days"), (3600, "hours"), (60, "minutes"))


def since(moment: float) -> str:
    """Return the time since a moment, in Unix seconds: "3 hours", for example; 0 s for one that is still to come."""
    age = max(0.0, time.time() - moment)
    return next((f"{age // size:.0f} {unit}" for size, unit in _UNITS if age >= 2 * size), f"{age:.0f} s")
