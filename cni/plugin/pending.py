"""Releases that the agent did not take, kept on disk until it does. Side effects: the files, their folder, the lock.

There is one file per network, pod and interface, and in it one line per container (contracts/pending.py). A file is
replaced as a whole, so that it is there completely or not at all, whenever the process is killed. The lock beside the
folder (`FOLDER.lock`) is held while a file changes and while a release is sent (replay.py), so an ADD that has to
remove its own line first waits for a release of it that is under way. Loaded when needed, by the plugin and by the
operator's program.

# DEPARTS: upstream forgets a release that failed.
"""

import posix
import time

from cni.deadline import Deadline
from cni.plugin._rare_validators import PENDING_RELEASE
from cni.plugin.files import folder_of, make_folders, sync_folder, write_all
from cni.plugin.json_text import encode
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOCK_TIMEOUT = 10.0  # seconds
LOCK_PAUSE = 0.002  # seconds between two attempts to take the lock
_SIZE_LIMIT = 16 * 1024 * 1024  # bytes of a file
_TEMPORARY = "/.new"  # one name is enough, because it is only written under the lock
_NO_FILE_OF_OURS = (6, 40)  # ENXIO, ELOOP: a socket, a symbolic link


def names(folder: str) -> list[str]:
    """Return the names of the files, none where the folder is missing."""
    try:
        return sorted([name for name in posix.listdir(folder) if name.endswith(".release")])
    except OSError:
        return []


def count(folder: str) -> int:
    """Return how many files are pending: one for each interface of a pod."""
    return len(names(folder))


def write_down(path: str, socket_path: str, release: "dict[str, str]", deadline: Deadline) -> None:
    """Write a release down durably. Repeating it adds no second line.

    Raises OSError: BlockingIOError where others hold the lock until the deadline.
    """
    folder = folder_of(path)
    make_folders(folder, 0o700, durable=True)
    record = encode({"time": int(time.time()), "socketPath": socket_path, "release": release})
    with Lock(folder, deadline):
        others = [line for line in read_lines(path) if not _is_of(line, release)]
        replace_lines(path, [*others, record])


def remove(path: str, release: "dict[str, str]", deadline: Deadline) -> bool:
    """Remove the line of one attachment, and say whether there was one. Raises OSError, as `write_down` does.

    Lines of other containers stay: to release those takes nothing away from this one.
    """
    with Lock(folder_of(path), deadline):
        lines = read_lines(path)
        others = [line for line in lines if not _is_of(line, release)]
        if len(others) < len(lines):
            replace_lines(path, others)
        return len(others) < len(lines)


def parse_record(line: bytes) -> "dict[str, Any] | None":
    """Return the PendingRelease in a line; None where it is damaged."""
    try:
        return validate(PENDING_RELEASE, line)  # type: ignore[no-any-return]
    except Invalid:
        return None


def _is_of(line: bytes, release: "dict[str, str]") -> bool:
    """Tell whether a line is about the same attachment as `release`."""
    record = parse_record(line)
    if record is None:
        return False
    return all(record["release"][key] == release[key] for key in ("containerID", "ifName", "network"))


class Lock:
    """The lock beside the folder, held while the block lasts; raises OSError, BlockingIOError at the deadline."""

    def __init__(self, folder: str, deadline: Deadline) -> None:
        self._path = folder + ".lock"
        self._deadline = deadline

    def __enter__(self) -> None:
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
        self._descriptor = posix.open(self._path, flags, 0o600)
        while True:
            try:
                return posix.lockf(self._descriptor, posix.F_TLOCK, 0)
            except BaseException as error:
                is_taken = isinstance(error, BlockingIOError | PermissionError)
                if not is_taken or not self._deadline.left():
                    posix.close(self._descriptor)
                    raise
            time.sleep(LOCK_PAUSE)

    def __exit__(self, *_: object) -> None:
        posix.close(self._descriptor)


def read_lines(path: str) -> list[bytes]:
    """Return a file's lines: none where it is missing, and one empty line where the path is no regular file.

    Raises OSError where it cannot be read at present: what it holds must not be forgotten.
    """
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno in _NO_FILE_OF_OURS:
            return [b""]
        raise
    try:
        pieces = []
        left = _SIZE_LIMIT
        while left > 0 and (piece := posix.read(descriptor, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces).splitlines() or [b""]
    except IsADirectoryError:
        return [b""]
    finally:
        posix.close(descriptor)


def replace_lines(path: str, lines: list[bytes]) -> None:
    """Put a file with these lines in the place of the old one, on disk when this returns; no lines: remove the file."""
    if not lines:
        return posix.unlink(path)
    temporary = folder_of(path) + _TEMPORARY
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
    descriptor = posix.open(temporary, flags, 0o600)
    try:
        write_all(descriptor, b"".join([line + b"\n" for line in lines]))
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)
    posix.rename(temporary, path)
    return sync_folder(folder_of(path))
