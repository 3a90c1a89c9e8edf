"""What watch tells probes: one of two files, touched in each of its rounds. Side effect: these files.

FILE is there while plugin and conflist are in sync; FILE.fault is there while they are not, and says why.
"""

import time
from pathlib import Path

READY_FOR = 10.0  # seconds; watch touches the file twice a second, unless it hangs
ALIVE_FOR = 60.0  # seconds; a check that copies a release to a slow disk takes some


def update(file: Path, fault: str) -> None:
    """Touch the file that is right now, and remove the other one. OSError."""
    if not fault:
        file.touch()
        _beside(file).unlink(missing_ok=True)
        return
    # First the text, because a probe may look at any moment.
    try:
        told = _beside(file).read_text(errors="replace")
    except FileNotFoundError:
        told = ""
    if told == fault:
        _beside(file).touch()
    else:
        _beside(file).write_text(fault, errors="replace")
    file.unlink(missing_ok=True)


def remove(file: Path) -> None:
    """Remove both: watch ends. OSError."""
    for path in (file, _beside(file)):
        path.unlink(missing_ok=True)


def fault(file: Path) -> str:
    """Return why the node is not ready, or "" where it is. OSError."""
    if _is_fresh(file, READY_FOR):
        return ""
    try:
        if _is_fresh(_beside(file), READY_FOR):
            return _beside(file).read_text(errors="replace")
    except FileNotFoundError:
        pass  # it has just become ready
    return "" if _is_fresh(file, READY_FOR) else _silence(file)


def silence(file: Path) -> str:
    """Return why watch, ready or not, does not seem to go on; "" where it does. OSError."""
    return "" if _is_fresh(file, ALIVE_FOR) or _is_fresh(_beside(file), ALIVE_FOR) else _silence(file)


def _silence(file: Path) -> str:
    for path in (file, _beside(file)):
        age = _age(path)
        if age is not None and age < 0:
            return f"{path} is dated {-age:.0f} s in the future, and watch does not touch it: it hangs, or has ended"
        if age is not None:
            return f"watch has not touched {path} for {age:.0f} s: it hangs, or has ended"
    return f"{file} is not there: no watch runs with this --readiness-file"


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.fault")


def _is_fresh(path: Path, seconds: float) -> bool:
    age = _age(path)
    return age is not None and 0 <= age < seconds


def _age(path: Path) -> float | None:
    """Return the seconds since a file was touched, less than 0 for a date in the future; None: it is missing."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
