"""Sets a log file aside that has become too long, and removes old ones. Side effects: files in the log's folder.

The call whose line made the file too long does both. (Upstream leaves the removal to a thread that ends with its
process, so hundreds of files stay.) The lock is on the file itself and moves aside with it, so a call that wrote to the
old file a moment later finds that the name leads to another file. No line is torn or lost, because a renamed file stays
with those that have it open. The names are those that upstream's logger gives (lumberjack), with the time in UTC.
"""

import posix
import time

_DAY = 24 * 3600  # seconds
_STAMP = "%Y-%m-%dT%H-%M-%S"
_STAMP_SHAPE = "0000-00-00T00-00-00.000"


def rotate(log: int, folder: int, name: str, max_age: int, max_count: int) -> None:
    """Set `name` in `folder` aside unless that has been done; keep `max_count` such files, for `max_age` days.

    `log` is the file, open for writing. OSError.
    """
    try:
        posix.lockf(log, posix.F_TLOCK, 0)
    except OSError:
        return  # another call is doing it
    opened, named = posix.fstat(log), posix.stat(name, dir_fd=folder, follow_symlinks=False)
    if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
        return
    stem, dot, suffix = name.rpartition(".")
    prefix, suffix = (f"{stem}-", dot + suffix) if stem else (f"{name}-", "")
    now = time.time()
    kept = _remove_old(folder, prefix, suffix, now - max_age * _DAY if max_age else 0, max_count)
    # Two files may be set aside in one millisecond, and a clock may be set back: none may take another's name.
    milliseconds = int(now * 1000)
    while (stamp := _stamp(milliseconds)) in kept:
        milliseconds += 1
    posix.rename(name, prefix + stamp + suffix, src_dir_fd=folder, dst_dir_fd=folder)


def _remove_old(folder: int, prefix: str, suffix: str, oldest: float, max_count: int) -> list[str]:
    """Make room for one more; return the stamps of what stays."""
    stamps = [
        name[len(prefix) : len(name) - len(suffix)] for name in posix.listdir(folder) if _fits(name, prefix, suffix)
    ]
    stamps.sort()
    limit = _stamp(int(max(0, oldest) * 1000))
    fresh = [stamp for stamp in stamps if stamp >= limit]
    keep = fresh[max(0, len(fresh) + 1 - max_count) :] if max_count else fresh
    for stamp in stamps:
        if stamp not in keep:
            try:
                posix.unlink(prefix + stamp + suffix, dir_fd=folder)
            except OSError:
                pass  # a folder of that name is not ours to remove; or another call has removed the file
    return keep


def _fits(name: str, prefix: str, suffix: str) -> bool:
    stamp = name[len(prefix) : len(name) - len(suffix)]
    shape = "".join(["0" if c.isdigit() else c for c in stamp])
    return shape == _STAMP_SHAPE and name == prefix + stamp + suffix


def _stamp(milliseconds: int) -> str:
    return time.strftime(_STAMP, time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}"
