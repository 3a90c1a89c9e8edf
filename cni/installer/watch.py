"""Have the reconciler check whenever a file of plugin or conflist changes. Side effects: those of reconciler.py.

File events come from watchfiles. After they are armed, a check follows, so that nothing is missed in between. What no
event tells (a folder that was made anew, a file behind a link) the full check of every minute finds. The folder of the
bundle is watched as well: a copy over our link is written there.

Where no file events can be had, a check is made at each tick: to compare the times of files would not do, because many
file systems keep whole seconds, so that a second write in the same second looks like the first one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from watchfiles._rust_notify import RustNotify

from cni.deadline import Deadline
from cni.installer.bundle import plugin_links
from cni.installer.conflist import record as records
from cni.installer.conflist.folder import SUFFIXES, loadable
from cni.installer.errors import InstallerError
from cni.installer.log_line import WARN
from cni.installer.node.folders import is_removed
from cni.installer.reconciler import Reconciler, UninstalledError

TICK = 0.5  # seconds between two looks at the clock
RETRY = 60.0  # seconds until file events are asked for again, where there were none

_OF_THE_BUNDLE = ("_internal", "SHA256SUMS")
_DEBOUNCE = 300  # milliseconds; events are gathered for so long at most
_STEP = 50  # milliseconds without an event that end a burst
# What the kernel says -> the setting that is used up. It is not changed here: all programs of the node share it.
_LIMITS = {
    "Too many open files": "fs.inotify.max_user_instances is used up (or this process's own limit of open files);"
    " ls -l /proc/*/fd | grep -c inotify counts the instances, and sysctl raises the limit",
    "file watch limit": "fs.inotify.max_user_watches is used up; sysctl raises it",
}


class Watch:
    """Watches the folders of one node."""

    def __init__(self, reconciler: Reconciler, log: Callable[[str], None], *, is_restarted: bool = False) -> None:
        self._reconciler = reconciler
        self._log = log
        self._is_restarted = is_restarted  # when it ends, with its view of the file system made anew
        self._fault = ""  # why there are no file events
        self._elsewhere: set[Path] = set()  # the conflists that are not in the folder of network configurations

    def run(self, stop: threading.Event, tick: Callable[[], None]) -> None:
        """Check until `stop` is set, or the installation is removed; call `tick` twice a second.

        InstallerError: a new process may be able to write where this one is not any more.
        """
        try:
            for changed in self._looks(stop):
                if changed or not self._reconciler.next_check.left():
                    self._reconciler.check()
                    self._require_view()
                self._reconciler.count_astray()
                tick()
        except UninstalledError:
            self._log("the installation was removed, so watch ends")

    def _require_view(self) -> None:
        """Raise InstallerError where a new process would see, or could write to, what this one does not."""
        reconciler, folders = self._reconciler, self._reconciler.folders
        if self._is_restarted and reconciler.is_read_only:
            raise InstallerError(f"watch ends, to be started anew by its unit: {reconciler.state.fault}")
        if not (reconciler.state.fault or reconciler.agent_fault):
            return
        with suppress(OSError):  # a link cannot be read: the next check tells that
            needed = (folders.bin, folders.conf, folders.state, reconciler.agent_socket.parent)
            if gone := [folders.name_of(folder) for folder in needed if is_removed(folder)]:
                names = " and ".join(gone)
                raise InstallerError(f"watch ends, to be started anew: it sees what was {names}, and was removed")

    def _looks(self, stop: threading.Event) -> Iterator[bool]:
        """Yield at each tick whether a check is due; arm anew when a folder has become another."""
        blind = Deadline(0)  # until when there are no file events
        while not stop.is_set():
            identity = self._identity()
            if None in identity[:2] or blind.left():
                yield True
                stop.wait(TICK)
                continue
            try:
                yield from self._events(identity, stop)
            except (OSError, RuntimeError) as error:
                if self._identity() == identity:  # else a folder was removed meanwhile
                    self._tell(str(error))
                    blind = Deadline(RETRY)

    def _events(self, identity: list[tuple[int, int] | None], stop: threading.Event) -> Iterator[bool]:
        """Yield whether an event matters, until a folder has become another. OSError, RuntimeError: none can be had."""
        folders = [str(folder) for folder in self._watched() if folder.is_dir()]
        with RustNotify(folders, False, False, 0, False, False) as events:
            if "Poll" in repr(events).split("(")[1]:
                raise OSError("this kernel has no inotify")  # watchfiles compares times then, without a word
            self._tell("")
            yield True
            while not stop.is_set() and self._identity() == identity:
                changes = events.watch(_DEBOUNCE, _STEP, int(TICK * 1000), stop)
                yield not isinstance(changes, str) and any(self._matters(Path(path)) for _, path in changes)

    def _tell(self, fault: str) -> None:
        """Report that file events cannot be had, or can be had again, once."""
        if fault and not self._fault:
            limit = next((text for words, text in _LIMITS.items() if words in fault), "")
            self._log(f"{WARN}no file events here, so watch checks twice a second instead: {limit or fault}")
        elif self._fault and not fault:
            self._log("there are file events again")
        self._fault = fault

    def _matters(self, path: Path) -> bool:
        """Tell whether a change of this file can concern us: one of calico-kubeconfig, say, does not."""
        return (
            path.name.startswith(plugin_links.PLUGIN)
            or path.suffix in SUFFIXES
            or path.name in (records.NAME, *_OF_THE_BUNDLE)
            or path.parent == self._reconciler.folders.bin
            or path in self._elsewhere
        )

    def _watched(self) -> list[Path]:
        """Return the folders: that of the bundle, too, and those of conflists to which links lead, or --conf."""
        folders = self._reconciler.folders.resolve_again()
        bundle = (folders.bin / plugin_links.HOME / plugin_links.CURRENT).resolve()
        self._elsewhere = {folders.root.follow(path) for path in loadable(folders) if path.is_symlink()}
        self._elsewhere |= {path for path in self._reconciler.recorded_paths() if path.parent != folders.conf}
        return [folders.bin, folders.conf, bundle, *sorted({path.parent for path in self._elsewhere})]

    def _identity(self) -> list[tuple[int, int] | None]:
        try:
            return [_inode(folder) for folder in self._watched()]
        except (OSError, RuntimeError):  # a link cannot be read, or leads to itself
            return [None]


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
