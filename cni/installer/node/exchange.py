"""The flags of renameat2(2), which Python does not offer. Side effect: renames files.

OSError: EINVAL or ENOSYS where the file system, the kernel or the C library has no such flag, EBUSY where a name is a
mount point, and the errors of a plain rename.
"""

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100  # a relative path is the current folder's
_NOREPLACE = 1
_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """Have two files take each other's name at one moment. FileNotFoundError where one is missing."""
    _rename(one, other, _EXCHANGE)


def rename_to_new(old: Path, new: Path) -> None:
    """Rename a file, but not over another one. FileExistsError."""
    _rename(old, new, _NOREPLACE)


def _rename(old: Path, new: Path, flags: int) -> None:
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # a C library before glibc 2.28, or musl
        number = errno.ENOSYS
    else:
        failed = renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags)
        number = ctypes.get_errno() if failed else 0
    if number:
        raise OSError(number, os.strerror(number), str(old), None, str(new))
