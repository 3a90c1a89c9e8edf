"""Why the log is not written to what the configuration names. Side effect: looks at links. Loaded when it is not, or
when the log's folder is a symbolic link.
"""

import posix

from cni.plugin.files import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Parts of st_mode; the module stat would have to be imported.
_KIND, _REGULAR, _LINK, _EXECUTABLE = 0o170000, 0o100000, 0o120000, 0o111
# Why what has the log's name cannot be opened, by errno: ENXIO, EISDIR, ETXTBSY, ELOOP.
_NOT_A_LOG = {6: "a socket", 21: "a folder", 26: "a program that runs", 40: "a symbolic link"}
_LONGEST_CHAIN = 8  # symbolic links


class NotALogError(Exception):
    """What the configuration names is not written to; the text says why."""


def refuse(path: str, mode: int) -> "NoReturn":
    """Raise NotALogError for an open file that is no log."""
    if mode & _KIND != _REGULAR:
        raise NotALogError(f"{path} is no regular file")
    if mode & _EXECUTABLE:
        raise NotALogError(f"{path} is executable")
    raise NotALogError(f"{path} is no log: its first byte is not {{")


def target(folder: str) -> str:
    """Follow a symbolic link to a folder; NotALogError unless each link on the way, and the folder, belong to root.

    NotALogError, too, where the log's folder is neither a folder nor a symbolic link.
    """
    if posix.stat(folder, follow_symlinks=False).st_mode & _KIND != _LINK:
        raise NotALogError(f"{folder} is no folder")
    path = folder
    for _ in range(_LONGEST_CHAIN):
        try:
            status = posix.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            raise NotALogError(f"{folder} is a symbolic link, and there is no {path}") from None
        if status.st_uid:
            raise NotALogError(f"{folder} is a symbolic link, and {path} does not belong to root")
        if status.st_mode & _KIND != _LINK:
            return path
        link = posix.readlink(path).rstrip("/") or "/"  # a slash at the end would have the kernel follow the next link
        path = link if link[:1] == "/" else f"{folder_of(path) if '/' in path else '.'}/{link}"
    raise NotALogError(f"{folder} is one of too many symbolic links")


def warning(path: str, error: Exception) -> str:
    """Return what to say of an error on stderr: "" for one that may pass, as a full disk."""
    if isinstance(error, OSError) and error.errno in _NOT_A_LOG:
        return f"nothing is logged: {path} is {_NOT_A_LOG[error.errno]}"
    return f"nothing is logged: {error}" if isinstance(error, NotALogError) else ""
