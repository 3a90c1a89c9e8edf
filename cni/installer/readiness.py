"""The file that tells a readiness probe whether plugin and conflist are in sync. Side effect: that file."""

import time
from pathlib import Path

READY_FOR = 10.0  # seconds; watch touches the file twice a second, unless it hangs


def update(file: Path, *, ready: bool) -> None:
    """Touch the file, or remove it."""
    if ready:
        file.touch()
    else:
        file.unlink(missing_ok=True)


def is_ready(file: Path) -> bool:
    """Tell whether the file was touched lately."""
    try:
        return time.time() - file.stat().st_mtime < READY_FOR
    except FileNotFoundError:
        return False
