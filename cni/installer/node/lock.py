"""One installer at a time on a node. Side effect: a lock file in the state folder; the lock ends with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "lock"
_PAUSE = 0.05  # seconds


class LockedError(Exception):
    """Another installer is at work for too long; one line."""


@contextmanager
def held(state: Path, timeout: float = 120) -> Iterator[None]:
    """Hold the node's lock; wait up to `timeout` seconds for it. LockedError, OSError."""
    state.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = state / NAME
    deadline = time.monotonic() + timeout
    while (descriptor := _try(path)) is None:
        if time.monotonic() > deadline:
            raise LockedError(f"another installer holds {path} for more than {timeout:g} s: what does it wait for?")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)


def forget(state: Path) -> None:
    """Remove the lock file, held by the caller, and the state folder if nothing else is in it."""
    (state / NAME).unlink()
    with suppress(OSError):
        state.rmdir()


def _try(path: Path) -> int | None:
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The one that held it may have removed the file: then a third could hold the lock of a new one.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except BlockingIOError:
        pass
    except FileNotFoundError:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if descriptor >= 0:
        os.close(descriptor)
    return None
