"""One JSON line per call. Side effect: appends to the log file. Nothing here raises, because no log is worth a pod.

Never written: stdin (Calico's holds credentials) and CNI_ARGS other than the K8S_POD_* values. A file that has become
too long is set aside by the call that made it so (log_rotation.py, loaded then). Only a log is written to, whatever the
configuration names: a new or empty file, or a regular one that cannot be executed and begins as a log does, with "{"
(the Go plugin's, too).
"""

import posix
import time

from cni import defaults, syntax
from cni.plugin.files import folder_of, make_folders
from cni.plugin.json_text import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.errors import CNIError
    from cni.plugin.call import Call

_DETAILS_LIMIT = 65536  # characters

# O_NOFOLLOW: the log's folder, and the one above, may be writable by others. O_NONBLOCK: a FIFO in its place must not
# hold the call. For reading, too: to look at the first byte.
_FOLDER_FLAGS = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_FLAGS = posix.O_RDWR | posix.O_CREAT | posix.O_APPEND | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK
_KIND_AND_EXECUTABLE, _REGULAR = 0o170111, 0o100000  # of st_mode; the module stat would have to be imported
_NULL_DEVICE = 0x103  # 1:3: whoever names it wants no log


def write_call(call: "Call", error: "CNIError | None", seconds: float) -> str:
    """Log a call that took `seconds`; return a warning for stderr, "" for none.

    VERSION is not logged, because it has no configuration and touches nothing.
    """
    if call.command == "VERSION":
        return ""
    record: dict[str, Any] = {"command": call.command}
    if call.netconf:
        record["network"] = call.netconf.name
    if call.attachment:
        record.update(
            containerID=call.attachment.container_id,
            ifname=call.attachment.ifname,
            podNamespace=call.attachment.pod_namespace,
            podName=call.attachment.pod_name,
            podUID=call.attachment.pod_uid,
        )
    record["outcome"] = "error" if error else "ok"
    record["code"] = error.code if error else 0
    if error:
        record.update(msg=error.msg, details=error.details[:_DETAILS_LIMIT])
    record.update(call.log_fields)
    record["ms"] = int(seconds * 1000)
    record["agent_ms"] = int(call.agent.seconds * 1000) if call.agent else 0
    level = "error" if error else "warn" if "warning" in record or "pending" in record else "info"
    return write(call.netconf.ipam if call.netconf else {}, level, record)


def write(ipam: "dict[str, Any]", level: str, record: "dict[str, Any]") -> str:
    """Append `record` with time and level to the file that the `ipam` object names, if its log_level lets it
    through; return a warning, "" for none."""
    least = ipam.get("log_level") or defaults.LOG_LEVEL
    if syntax.LOG_LEVELS.index(level) < syntax.LOG_LEVELS.index(least):
        return ""
    try:
        _append(ipam, encode({"time": _now(), "level": level, **record}) + b"\n")
    except Exception as error:  # a path with NUL, a full disk, a folder that is a file, …
        from cni.plugin import log_refusals

        return log_refusals.warning(_path(ipam), error)
    return ""


def _append(ipam: "dict[str, Any]", line: bytes) -> None:
    path = _path(ipam)
    name = path.rpartition("/")[2]
    folder = _open_folder(path)
    try:
        log = posix.open(name, _FLAGS, 0o640, dir_fd=folder)
        try:
            size = _append_line(log, line) if _is_log(log, path) else 0
            if size >= (ipam.get("log_file_max_size") or defaults.LOG_MAX_SIZE) * 2**20:
                _rotate(log, folder, name, ipam)
        finally:
            posix.close(log)
    finally:
        posix.close(folder)


def _path(ipam: "dict[str, Any]") -> str:
    return ipam.get("log_file_path") or defaults.LOG_PATH


def _open_folder(path: str) -> int:
    folder = (folder_of(path).rstrip("/") or "/") if "/" in path else "."
    try:
        return posix.open(folder, _FOLDER_FLAGS)
    except FileNotFoundError:
        make_folders(folder, 0o755)
        return posix.open(folder, _FOLDER_FLAGS)
    except NotADirectoryError:
        from cni.plugin import log_refusals

        return posix.open(log_refusals.target(folder), _FOLDER_FLAGS)


def _is_log(log: int, path: str) -> bool:
    """Tell whether the open file is written to: False for /dev/null, NotALogError for what is no log."""
    status = posix.fstat(log)
    if status.st_rdev == _NULL_DEVICE:
        return False
    is_file = status.st_mode & _KIND_AND_EXECUTABLE == _REGULAR
    if not is_file or (status.st_size and posix.pread(log, 1, 0) != b"{"):
        from cni.plugin import log_refusals

        log_refusals.refuse(path, status.st_mode)
    return True


def _append_line(log: int, line: bytes) -> int:
    """Append the whole line or nothing; return the file's size."""
    # One write: O_APPEND keeps the lines of many processes apart.
    written = posix.write(log, line)
    size = posix.fstat(log).st_size
    if written < len(line) and posix.lseek(log, 0, 1) == size:
        posix.ftruncate(log, size - written)  # the disk is full: the next line must not be joined to this part
    return size


def _rotate(log: int, folder: int, name: str, ipam: "dict[str, Any]") -> None:
    from cni.plugin import log_rotation

    age, count = ipam.get("log_file_max_age"), ipam.get("log_file_max_count")
    age = defaults.LOG_MAX_AGE if age is None else age
    log_rotation.rotate(log, folder, name, age, defaults.LOG_MAX_COUNT if count is None else count)


def _now() -> str:
    """Return UTC with milliseconds (RFC 3339)."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
