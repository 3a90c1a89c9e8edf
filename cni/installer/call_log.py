"""Follows the plugin's log, which has a line for each call. Side effects: those of followed_log.py.

In a thread of its own: a disk that hangs holds up neither the checks nor SIGTERM. What was logged before watch started
is not counted: a counter begins with 0 then, as Prometheus expects.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cni import defaults, syntax
from cni.installer.call_counts import CallCounts
from cni.installer.followed_log import FollowedLog
from cni.installer.log_line import WARN
from cni.installer.node.folders import Folders, is_removed
from cni.installer.node.os_errors import one_line
from cni.installer.reconciler import Reconciler

LOOK_EVERY = 0.5  # seconds. Of a log that is set aside twice in between, one file is not read
_PIECES = 4  # the most that are read in one look, so that a long log does not take a core from others

# Why the log is not read, or has not all calls.
REASONS = {
    "not_looked": "`watch` has not looked yet",
    "off": "`log_level` is above `error`, or `log_file_path` is /dev/null: nothing is logged",
    "partial": "`log_level` is `warn` or `error`: calls that succeeded are not logged, and so not counted",
    "elsewhere": "`log_file_path` is in a folder that is not mounted below `--host-root`, or is relative",
    "not_mounted": "/var/log/spidernet is not mounted below `--host-root`, or was made anew since: start `watch` again",
    "refused": "the plugin does not write to it: it is a symbolic link, executable, or does not begin with `{`",
    "missing": "there is no such file: the first call makes it",
    "unreadable": "it cannot be read, or is no file; the log of `watch` says why",
}


class CallLog:
    """The plugin's log, and what it tells."""

    def __init__(self, reconciler: Reconciler, log: Callable[[str], None]) -> None:
        self.counts = CallCounts()
        self.reason = "not_looked"  # of REASONS; "" where all calls are counted
        self._reconciler = reconciler
        self._log = log
        self._path: Path | None = None
        self._followed: FollowedLog | None = None
        self._told = ""

    def run(self, stop: threading.Event) -> None:
        """Count what is logged until `stop` is set."""
        while True:
            fault = ""
            try:
                if self._reconciler.state.last_check:  # else it is not known what the conflist says of the log
                    self._look()
            except OSError as error:
                self.reason, fault = "unreadable", one_line(error)
            except Exception as error:
                # Whatever it is, the next round may succeed.
                self.reason, fault = "unreadable", f"{type(error).__name__}: {error}"
            if fault and fault != self._told:
                self._log(f"{WARN}the plugin's log cannot be read, so its calls are not counted: {fault}")
            self._told = fault
            if stop.wait(LOOK_EVERY):
                return

    def _look(self) -> None:
        folders, settings = self._reconciler.folders, self._reconciler.settings
        path, reason = find_log(folders, settings)
        if path != self._path:
            if self._followed:
                self._count()
                self._followed.close()
            self._path, self._followed = path, FollowedLog(path) if path else None
        if self._followed:
            try:
                self._followed.look()
                reason = reason if self._followed.is_log() else "refused"
            except FileNotFoundError:
                reason = "missing"
            finally:
                self._count()  # also what was set aside
        self.reason = reason

    def _count(self) -> None:
        assert self._followed
        for _, lines in zip(range(_PIECES), self._followed.lines(), strict=False):
            for line in lines:
                self.counts.add(line)


def find_log(folders: Folders, settings: dict[str, Any]) -> tuple[Path | None, str]:
    """Return the path of the log that our ipam object names, None where there is none; and what it lacks. OSError.

    The plugin takes a value of a wrong type for the default, because it has to log that it refuses it.
    """
    name, level = (settings.get(key) for key in ("log_file_path", "log_level"))
    name = name if name and isinstance(name, str) else defaults.LOG_PATH
    least = level.lower() if isinstance(level, str) else ""
    if name == os.devnull or least in syntax.LOG_LEVELS[syntax.LOG_LEVELS.index("error") + 1 :]:
        return None, "off"
    if not name.startswith("/"):
        return None, "elsewhere"
    folder = Path(name).parent
    path = folders.root.resolve(folder) / Path(name).name
    if not _is_mounted(folders, path.parent):
        return None, "not_mounted" if name == defaults.LOG_PATH else "elsewhere"
    # Other users must not be able to lead the plugin, which is root, to another file.
    if path.is_symlink() or _is_led_by_others(folders.root.resolve(folder.parent) / folder.name, path.parent):
        return None, "refused"
    return path, "partial" if least in ("warn", "error") else ""


def _is_led_by_others(folder: Path, target: Path) -> bool:
    """Tell whether the log's folder is a link that does not belong to root, or leads to a folder that does not."""
    return folder.is_symlink() and bool(folder.lstat().st_uid or (target.is_dir() and target.stat().st_uid))


def _is_mounted(folders: Folders, folder: Path) -> bool:
    """Tell whether a folder is the node's own: the parents of what is mounted in a container are the container's."""
    if is_removed(folder):
        return False
    if not folders.root.is_partial:
        return True
    own = folders.root.path.stat().st_dev
    return folder.is_dir() and (folder.stat().st_dev != own or folders.state.stat().st_dev == own)
