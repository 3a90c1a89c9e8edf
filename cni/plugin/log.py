"""One JSON line per call. Side effect: appends to the log file; never raises, because no log is worth a pod.

Never written: stdin (Calico's holds credentials) and CNI_ARGS other than the K8S_POD_* values.
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

# O_NOFOLLOW: the log's folder may be writable by others. O_NONBLOCK: a FIFO in its place must not hold the call.
_FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK


def write(ipam: "dict[str, Any]", level: str, record: "dict[str, Any]") -> None:
    """Append `record` with time and level, as the configuration's `ipam` object says (level, path)."""
    least = ipam.get("log_level") or LOG_LEVEL
    if syntax.LOG_LEVELS.index(level) < syntax.LOG_LEVELS.index(least):
        return
    try:
        _append(ipam.get("log_file_path") or DEFAULT_PATH, encode({"time": _now(), "level": level, **record}) + b"\n")
    except Exception:  # noqa: S110  (a path with NUL, a full disk, a folder that is a file, …)
        pass


def _append(path: str, line: bytes) -> None:
    try:
        log = posix.open(path, _FLAGS, 0o640)
    except FileNotFoundError:
        _make_folders(path)
        log = posix.open(path, _FLAGS, 0o640)
    try:
        # One write: O_APPEND keeps the lines of many processes apart.
        posix.write(log, line)
    finally:
        posix.close(log)


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
