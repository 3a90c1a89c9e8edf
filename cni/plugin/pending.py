"""Releases that the agent did not take, kept on disk until it does. Side effects: the files, their folder, the locks.

There is one file per network, pod and interface, and in it one line per container (contracts/pending.py). A file is
replaced as a whole, so that it is there completely or not at all, whenever the process is killed. Each file has a lock,
which is held while the file changes and while its releases are sent (replay.py). So an ADD that has to remove its own
line first waits for a release of it that is under way, and no call waits for the release of another pod. Loaded when
needed, by the plugin and by the operator's program.

# DEPARTS: upstream forgets a release that failed.
"""

import posix
import time

from cni.deadline import Deadline
from cni.plugin import interrupts
from cni.plugin._rare_validators import PENDING_RELEASE
from cni.plugin.files import folder_of, make_folders, sync_folder, write_all
from cni.plugin.json_text import encode
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOCK_PAUSE = 0.002  # seconds between two attempts to take a lock
_LOCKS = 2**31 - 1  # offsets that every file system allows; a prime
_LOCK_FLAGS = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_SIZE_LIMIT = 16 * 1024 * 1024  # bytes of a file
_SUFFIX = ".release"
_TEMPORARY = ".new"  # follows the file's name
_NO_FILE_OF_OURS = (6, 40)  # ENXIO, ELOOP: a socket, a symbolic link


def names(folder: str) -> list[str]:
    """Return the names of the files, none where the folder is missing."""
    try:
        return sorted([name for name in posix.listdir(folder) if name.endswith(_SUFFIX)])
    except OSError:
        return []


def count(folder: str) -> int:
    """Return how many files are pending: one for each interface of a pod."""
    return len(names(folder))


def write_down(path: str, socket_path: str, release: "dict[str, str]", deadline: Deadline) -> None:
    """Write a release down durably. Repeating it adds no second line.

    Raises OSError: BlockingIOError where others hold the file's lock until the deadline.
    """
    folder = folder_of(path)
    make_folders(folder, 0o700, durable=True)
    record = encode({"time": int(time.time()), "socketPath": socket_path, "release": release})
    with Lock(path, deadline):
        others = [line for line in read_lines(path) if not _is_of(line, release)]
        replace_lines(path, [*others, record])


def remove(path: str, release: "dict[str, str]", deadline: Deadline) -> bool:
    """Remove the line of one attachment, and say whether there was one. Raises OSError, as `write_down` does.

    Lines of other containers stay: to release those takes nothing away from this one.
    """
    with Lock(path, deadline):
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
    """The lock of one file, held while the block lasts; raises OSError, BlockingIOError at the deadline.

    It is one byte of the file beside the folder, `FOLDER.lock`, at an offset that the name gives. So it ends with the
    process, and does not depend on the file, which is made, replaced and removed under it. Release 0.1.0 locks all
    bytes, so both can run at once.
    """

    def __init__(self, path: str, deadline: Deadline) -> None:
        folder, _, name = path.rpartition("/")
        self._path = folder + ".lock"
        self._offset = int.from_bytes(name.encode(), "big") % _LOCKS
        self._deadline = deadline
        self._descriptor = -1

    def __enter__(self) -> None:
        while True:
            left = self._deadline.left()
            if self._take():
                return
            if not left:
                raise BlockingIOError(11, "Resource temporarily unavailable", self._path)
            interrupts.sleep(min(_LOCK_PAUSE, left))

    def _take(self) -> bool:
        descriptor = posix.open(self._path, _LOCK_FLAGS, 0o600)
        try:
            posix.lseek(descriptor, self._offset, 0)
            posix.lockf(descriptor, posix.F_TLOCK, 1)
            # Whoever held it may have removed the file (uninstall does), and others may lock a new one by now.
            opened, named = posix.fstat(descriptor), posix.stat(self._path)
            if (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino):
                self._descriptor, descriptor = descriptor, -1
        except (BlockingIOError, PermissionError, FileNotFoundError):
            pass
        finally:
            if descriptor >= 0:
                posix.close(descriptor)
        return self._descriptor >= 0

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
    temporary = path + _TEMPORARY
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
    descriptor = posix.open(temporary, flags, 0o600)
    try:
        write_all(descriptor, b"".join([line + b"\n" for line in lines]))
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)
    posix.rename(temporary, path)
    return sync_folder(folder_of(path))


def remove_leftovers(folder: str) -> None:
    """Remove what processes that were killed had begun to write."""
    try:
        found = [name for name in posix.listdir(folder) if name.endswith(_TEMPORARY)]
    except OSError:
        return
    for name in found:
        try:
            with Lock(f"{folder}/{name.removesuffix(_TEMPORARY)}", Deadline(0)):
                posix.unlink(f"{folder}/{name}")
        except OSError:
            continue  # it is being written at the moment
