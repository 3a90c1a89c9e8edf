"""Whether watch runs on a node. Side effect: a lock on the state folder, which the kernel ends with the process.

The folder itself is locked, so no file is left behind. Containers that have the folder mounted see the same lock.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Presence:
    """The lock of one process. Several may hold it."""

    def __init__(self) -> None:
        self._descriptor = -1

    def show(self, state: Path) -> None:
        """Hold the lock from now on. Where that cannot be, or the folder was made anew, the next call tries again."""
        with suppress(OSError):
            if self._descriptor >= 0:
                if os.path.samestat(os.fstat(self._descriptor), state.stat()):
                    return
                os.close(self._descriptor)
                self._descriptor = -1
            descriptor = _open(state)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor


def is_shown(state: Path) -> bool | None:
    """Tell whether a process holds the lock; None where that cannot be told."""
    try:
        descriptor = _open(state)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)


def _open(state: Path) -> int:
    return os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
