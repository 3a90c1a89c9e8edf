"""Reads a file that others have put there, in bounded time and memory. Side effect: reads it.

In the place of a configuration there may be anything: to read a FIFO may wait for ever, to open a device may do
something. So what is there is looked at before it is opened, and again once it is open.
"""

import errno
import os
import stat
from pathlib import Path

from cni import ready
from cni.deadline import Deadline

MOST_BYTES = 16 << 20  # what the plugin reads from stdin at most

MISSING = "there is no such file"

_KINDS = {
    stat.S_IFIFO: "a FIFO (a named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class NotReadableError(OSError):
    """It is no file, or too large; `strerror` says what it is."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(errno.EINVAL, text, str(path))


def read(path: Path, *, pipe_timeout: float = 0) -> bytes:
    """Return what a file holds, links followed. NotReadableError, OSError.

    From a FIFO, as a shell makes one for `<(…)`, it reads only with `pipe_timeout`: the seconds until all is there.
    """
    deadline = Deadline(pipe_timeout) if pipe_timeout else None
    _require_file(path, path.stat(), deadline)
    # O_NONBLOCK: what is there may have become a FIFO meanwhile. O_NOCTTY: or a terminal.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _require_file(path, os.fstat(descriptor), deadline)
        parts: list[bytes] = []
        size = 0
        while part := _read_part(descriptor, path, deadline):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise NotReadableError(path, f"it is too large: more than {MOST_BYTES >> 20} MiB")
    finally:
        os.close(descriptor)
    return b"".join(parts)


def kind(path: Path) -> str:
    """Say what is at a path, links followed: "it is a folder, not a file", or MISSING; "" for a file. OSError."""
    try:
        return _kind(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "its symbolic links lead in a circle"


def _kind(status: os.stat_result) -> str:
    what = _KINDS.get(stat.S_IFMT(status.st_mode))
    return f"it is {what}, not a file" if what else ""


def _require_file(path: Path, status: os.stat_result, deadline: Deadline | None) -> None:
    if deadline and stat.S_ISFIFO(status.st_mode):
        return
    if text := _kind(status):
        raise NotReadableError(path, text)


def _read_part(descriptor: int, path: Path, deadline: Deadline | None) -> bytes:
    if deadline and not ready.to_read(descriptor, deadline.left()):
        raise NotReadableError(path, "it is a pipe, and was not written to its end in time")
    return os.read(descriptor, 1 << 20)
