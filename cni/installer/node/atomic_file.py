"""Replace a file so that a reader finds the old one or the new one as a whole, also after a power cut.

Side effect: the file, and for a moment a temporary one beside it. Its name begins with a dot and does not end in .conf,
.conflist or .json, so that no runtime loads it. The next run removes one that a killed run has left.
"""

import errno
import os
import stat
from pathlib import Path

_TEMPORARY = ".spiderpool-ipam.{name}.new"


class ChangedError(Exception):
    """Somebody has written a file since it was read."""


def replace(path: Path, data: bytes, mode: int = 0o600, instead_of: bytes | None = None) -> None:
    """Write `data` in the place of a file, or of what a symbolic link leads to. OSError: the old one stays.

    Mode, owner and extended attributes (such as an SELinux label) are the old file's; `mode` is for a new one.
    ChangedError: the file does not hold `instead_of` any more, if that is given.
    """
    try:
        _replace(path.resolve(), data, mode, instead_of)
    except OSError as error:
        error.filename = error.filename or str(path)  # an error of a call on a descriptor has no name
        raise


def _replace(path: Path, data: bytes, mode: int, instead_of: bytes | None) -> None:
    temporary = path.with_name(_TEMPORARY.format(name=path.name))
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write(descriptor, data)
        _take_after(descriptor, path, mode)
        os.fsync(descriptor)
        _require_unchanged(path, instead_of)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file for good; one that is missing is no error."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write the folder's entries to disk: a rename is durable only after that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_unchanged(path: Path, content: bytes | None) -> None:
    if content is not None and path.read_bytes() != content:
        raise ChangedError


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _take_after(descriptor: int, old: Path, mode: int) -> None:
    try:
        status = old.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(old):
        _take_attribute(descriptor, name, os.getxattr(old, name))


def _take_attribute(descriptor: int, name: str, value: bytes) -> None:
    try:
        os.setxattr(descriptor, name, value)
    except PermissionError as error:
        # EPERM: the label is of a security module that is off, so it means nothing, and setting it takes
        # CAP_SYS_ADMIN. A module that is on refuses with EACCES.
        if error.errno != errno.EPERM or not name.startswith("security."):
            raise
