"""One JSON line per call. Side effect: appends to the log file; never raises, because no log is worth a pod.

Never written: stdin (Calico's holds credentials) and CNI_ARGS other than the K8S_POD_* values. A file that is too long
is set aside by the call that makes it so (log_rotation.py, loaded then).
"""

import posix
import time

from cni import syntax
from cni.plugin.json_text import encode
from cni.plugin.netconf import LOG_LEVEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/var/log/spidernet/spiderpool.log"
# upstream's: MB, days, files beside the one that is written. For age and count, 0 is: no limit; for the size, this one.
MAX_SIZE, MAX_AGE, MAX_COUNT = 100, 30, 10

# O_NOFOLLOW: the log's folder, and the one above, may be writable by others. O_NONBLOCK: a FIFO in its place must not
# hold the call.
_FOLDER_FLAGS = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK


def write(ipam: "dict[str, Any]", level: str, record: "dict[str, Any]") -> None:
    """Append `record` with time and level, as the configuration's `ipam` object says (level, path)."""
    least = ipam.get("log_level") or LOG_LEVEL
    if syntax.LOG_LEVELS.index(level) < syntax.LOG_LEVELS.index(least):
        return
    try:
        _append(ipam, encode({"time": _now(), "level": level, **record}) + b"\n")
    except Exception:  # noqa: S110  (a path with NUL, a full disk, a folder that is a file, …)
        pass


def _append(ipam: "dict[str, Any]", line: bytes) -> None:
    path = ipam.get("log_file_path") or DEFAULT_PATH
    above, slash, name = path.rpartition("/")
    try:
        folder = posix.open(above or slash or ".", _FOLDER_FLAGS)
    except FileNotFoundError:
        _make_folders(path)
        folder = posix.open(above, _FOLDER_FLAGS)
    try:
        log = posix.open(name, _FLAGS, 0o640, dir_fd=folder)
        try:
            # One write: O_APPEND keeps the lines of many processes apart.
            written = posix.write(log, line)
            size = posix.fstat(log).st_size
            if written < len(line) and posix.lseek(log, 0, 1) == size:
                posix.ftruncate(log, size - written)  # the disk is full: the next line must not be joined to a stump
            if size >= (ipam.get("log_file_max_size") or MAX_SIZE) * 2**20:
                from cni.plugin import log_rotation

                age, count = ipam.get("log_file_max_age"), ipam.get("log_file_max_count")
                log_rotation.rotate(
                    log, folder, name, MAX_AGE if age is None else age, MAX_COUNT if count is None else count
                )
        finally:
            posix.close(log)
    finally:
        posix.close(folder)


def _make_folders(path: str) -> None:
    slash = path.find("/", 1)
    while slash > 0:
        try:
            posix.mkdir(path[:slash], 0o755)
        except FileExistsError:
            pass
        slash = path.find("/", slash + 1)


def _now() -> str:
    """Return UTC with milliseconds (RFC 3339)."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
