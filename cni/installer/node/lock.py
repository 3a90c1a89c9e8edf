"""Have one installer at a time work on a node. Side effect: a lock file in the state folder.

The kernel ends the lock with the process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cni.deadline import Deadline
from cni.installer.errors import InstallerError

NAME = "lock"
_PAUSE = 0.05  # seconds


class LockedError(InstallerError):
    """Another installer has been at work for too long."""


@contextmanager
def held(state: Path, timeout: float = 120) -> Iterator[None]:
    """Hold the node's lock; wait up to `timeout` seconds for it. LockedError, OSError."""
    _make(state)
    path = state / NAME
    deadline = Deadline(timeout)
    while (descriptor := _try(path)) is None:
        if not deadline.left():
            raise LockedError(f"another installer holds {path} for more than {timeout:g} s: find out what it waits for")
        deadline.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)


def remove(state: Path) -> None:
    """Remove the lock file, which the caller holds, and the state folder if nothing else is in it."""
    (state / NAME).unlink()
    with suppress(OSError):
        state.rmdir()


def _make(state: Path) -> None:
    """Make the state folder where it is missing. Everybody may read it, whatever the umask."""
    if not state.is_dir():
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o755)


def _try(path: Path) -> int | None:
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed the file, and a third process may hold the lock of a new one by now.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except BlockingIOError:
        pass
    except FileNotFoundError:
        _make(path.parent)
    if descriptor >= 0:
        os.close(descriptor)
    return None
