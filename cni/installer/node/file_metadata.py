"""A file's mode, owner and extended attributes (such as an SELinux label). Side effect: gives them to another file.

A file system that has no such thing is no reason to stop: the file goes without.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNSUPPORTED = {errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}  # what file systems answer that do not have what is asked for


@contextmanager
def where_supported() -> Iterator[None]:
    """Go past an error that says that the file system does not have what is asked for."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def take_after(descriptor: int, old: Path, mode: int) -> None:
    """Give an open file the metadata of `old`, or `mode` where there is no such file. OSError."""
    try:
        status = old.stat()
    except FileNotFoundError:
        with where_supported():
            os.fchmod(descriptor, mode)
        return
    with where_supported():
        os.fchown(descriptor, status.st_uid, status.st_gid)
    with where_supported():
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    names: list[str] = []
    with where_supported():
        names = os.listxattr(old)
    for name in names:
        with where_supported():
            _take_attribute(descriptor, old, name)


def _take_attribute(descriptor: int, old: Path, name: str) -> None:
    try:
        os.setxattr(descriptor, name, os.getxattr(old, name))
    except OSError as error:
        # EPERM: the label is of a security module that is off, so it means nothing, and setting it takes
        # CAP_SYS_ADMIN. A module that is on refuses with EACCES.
        is_of_none = error.errno == errno.EPERM and name.startswith("security.")
        if not is_of_none and error.errno != errno.ENODATA:  # removed since it was listed
            raise
