"""Writes all bytes, and makes folders, durably where asked for, without the module `os`. Side effects: these."""

import posix


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes. Raises OSError."""
    while data:
        data = data[posix.write(descriptor, data) :]


def folder_of(path: str) -> str:
    """Return the folder that a path lies in."""
    return path.rpartition("/")[0] or "/"


def make_folders(folder: str, mode: int, *, durable: bool = False) -> None:
    """Make a folder and those above it where they are missing; `durable`: on disk when this returns. Raises OSError."""
    end = folder.find("/", 1)
    while end > 0:
        _make(folder[:end], mode, durable=durable)
        end = folder.find("/", end + 1)
    _make(folder, mode, durable=False)
    if durable:
        # Even if the folder existed: whoever made it may have been killed before it was on disk.
        sync_folder(folder_of(folder))


def sync_folder(folder: str) -> None:
    """Have a folder's entries on disk: a new file's name, and a rename, are durable only then. Raises OSError."""
    descriptor = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)


def _make(folder: str, mode: int, *, durable: bool) -> None:
    try:
        posix.mkdir(folder, mode)
    except FileExistsError:
        return
    if durable:
        sync_folder(folder_of(folder))
