"""Have the reconciler check whenever a file of plugin or conflist changes. Side effects: those of reconciler.py.

File events come from watchfiles. After they are armed, a check follows, so that nothing is missed in between. What no
event tells (a folder that was made anew, a file behind a link) the full check of every minute finds. The folder of the
bundle is watched as well: a copy over our link is written there.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from watchfiles import Change
from watchfiles import watch as file_events

from cni.deadline import Deadline
from cni.installer.bundle import plugin_links
from cni.installer.conflist import record as records
from cni.installer.conflist.folder import SUFFIXES
from cni.installer.reconciler import Reconciler, UninstalledError

TICK = 0.5  # seconds between two looks at the clock

_DEBOUNCE = 300  # milliseconds; events are gathered for so long at most
_STEP = 50  # milliseconds without an event that end a burst


class Watch:
    """Watches the folders of one node."""

    def __init__(self, reconciler: Reconciler, log: Callable[[str], None]) -> None:
        self._reconciler = reconciler
        self._log = log

    def run(self, stop: threading.Event, tick: Callable[[], None]) -> None:
        """Check until `stop` is set, or the installation is removed; call `tick` twice a second."""
        try:
            for changed in self._events(stop):
                if not self._reconciler.next_check.left() or any(_matters(path) for path in changed):
                    self._reconciler.check()
                tick()
        except UninstalledError:
            self._log("the installation was removed, so watch ends")

    def _events(self, stop: threading.Event) -> Iterator[set[Path]]:
        """Yield changed files, or nothing at each tick; arm anew when a folder has become another."""
        polling = False
        while not stop.is_set():
            identity = self._identity()
            yield set()
            self._reconciler.next_check = Deadline(0)  # once armed, check again
            if None in identity[:2]:
                stop.wait(TICK)
                continue
            try:
                for changes in self._armed(stop, polling):
                    yield {Path(path) for _, path in changes}
                    if self._identity() != identity:
                        break
            except (OSError, RuntimeError) as error:
                if self._identity() != identity:
                    continue  # a folder was removed meanwhile
                # All inotify instances of the node may be in use.
                polling = True
                self._log(f"no file events here, looking twice a second instead: {error}")

    def _armed(self, stop: threading.Event, polling: bool) -> Iterator[set[tuple[Change, str]]]:
        return file_events(
            *(folder for folder in self._watched() if folder.is_dir()), watch_filter=None, recursive=False,
            debounce=_DEBOUNCE, step=_STEP, rust_timeout=int(TICK * 1000), yield_on_timeout=True,
            stop_event=stop, raise_interrupt=False, force_polling=polling, poll_delay_ms=int(TICK * 1000),
        )  # fmt: skip

    def _watched(self) -> list[Path]:
        folders = self._reconciler.folders.resolve_again()
        return [folders.bin, folders.conf, (folders.bin / plugin_links.HOME / plugin_links.CURRENT).resolve()]

    def _identity(self) -> list[tuple[int, int] | None]:
        try:
            return [_inode(folder) for folder in self._watched()]
        except (OSError, RuntimeError):  # a link cannot be read, or leads to itself
            return [None]


def _matters(path: Path) -> bool:
    """Tell whether a change of this file can concern us: one of calico-kubeconfig, say, does not."""
    return path.name.startswith(plugin_links.PLUGIN) or path.suffix in SUFFIXES or path.name == records.NAME


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
