"""What an operator can do about an error of the file system. Pure."""

import errno

_HINTS = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: (
        "it is mounted read-only: mount it writable, or name another folder; for the unit of watch, run"
        " install.sh --systemd again, which has it write to what links lead to now"
    ),
    errno.EACCES: "run as root",
    errno.EPERM: "run as root; if you are, it may be immutable (lsattr shows i, chattr -i takes it off)",
    errno.EBUSY: "it is a mount point: change it where it is mounted from, or install --as another name",
    errno.ELOOP: "its symbolic links lead in a circle",
}


def one_line(error: OSError) -> str:
    """Return the path, the reason and what to do."""
    path = error.filename2 or error.filename
    parts = [str(path) if path else "", error.strerror or str(error), _HINTS.get(error.errno or 0, "")]
    return ": ".join(part for part in parts if part)
