"""Keep the plugin and the conflist as they were asked for. Side effects: bundle.restore and swap.hold, where needed.

calico-node writes its conflist at each start, in place; spiderpool-agent copies its own plugin over ours. Events come
from watchfiles: armed first, then checked. What no event tells (a folder that was recreated, a file behind a link) the
check of every minute finds.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from watchfiles import Change
from watchfiles import watch as file_events

from cni.installer import agent_health, bundle, lock, result_cache, swap
from cni.installer import record as records
from cni.installer.conf_folder import SUFFIXES
from cni.installer.conflist import OUR_TYPE, ConflistError, NoneFoundError
from cni.installer.explain import one_line
from cni.installer.folders import Folders
from cni.installer.host_root import below
from cni.installer.record import Asked, Record, RecordError

TICK = 0.5  # seconds between two looks at the clock
GRACE = 3.0  # seconds that a half-written file has to become whole, and a removed one to come back
FULL_CHECK = 60.0  # seconds, with jitter: 5,000 nodes must not look at once
TOO_OFTEN = (5, 600.0)  # more than this many times in so many seconds is a fight
PAUSE = 60.0  # seconds between two moves in one

_DEBOUNCE = 300  # milliseconds; events are gathered for at most so long
_STEP = 50  # milliseconds without an event that end a burst


class State(NamedTuple):
    """What watch knows; `fault` is "" where all is as it was asked for."""

    fault: str = "not checked yet"
    reverts: int = 0  # of conflist and plugin together, since watch started
    applied: float = 0.0  # Unix seconds of the last time
    astray: int = 0  # pods that got another IPAM's address meanwhile, as far as libcni's cache tells


class UninstalledError(Exception):
    """There is nothing to hold any more."""


class Watch:
    """Holds one node's installation; `check` may be called at any time, `run` calls it when it is needed."""

    def __init__(self, folders: Folders, tree: Path | None, version: str, say: Callable[[str], None]) -> None:
        self.folders = folders
        self.state = State()
        self._tree = tree  # what to install from where the bundle has vanished; None in a source tree
        self._version = version
        self._say = say
        self._asked: Asked | None = None
        self._told: str | None = None  # the last fault that was said
        self._fault_since = 0.0  # monotonic; 0 is: no fault
        self._undone: deque[float] = deque(maxlen=TOO_OFTEN[0] + 1)
        self._due = 0.0  # monotonic time of the next check, whatever happens

    def run(self, stop: threading.Event, tick: Callable[[], None]) -> None:
        """Hold until `stop` is set, or the installation is taken away; call `tick` twice a second."""
        try:
            for changed in self._events(stop):
                if time.monotonic() >= self._due or any(self._matters(path) for path in changed):
                    self.check()
                tick()
        except UninstalledError:
            self._say("the installation was taken away: nothing to hold any more")

    def check(self) -> None:
        """Look, and mend what is not as it was asked for. UninstalledError."""
        self._due = time.monotonic() + FULL_CHECK * random.uniform(0.9, 1.1)  # noqa: S311  (no secret)
        try:
            with lock.held(self.folders.state, timeout=1):
                self._hold()
        except (ConflistError, RecordError, lock.LockedError, bundle.BundleError) as error:
            self._fail(error, str(error))
        except OSError as error:
            self._fail(error, one_line(error))

    @property
    def agent_socket(self) -> Path:
        """The socket that the pods' plugin asks."""
        return agent_health.socket_of(self.folders.root, self._asked.settings if self._asked else {})

    def _hold(self) -> None:
        record = records.read(self.folders.conf)
        if record is None and not (self.folders.bin / bundle.HOME / bundle.CURRENT).is_symlink():
            raise UninstalledError
        if record and record.given_back:
            self._settle("it was given back by uninstall: nothing is held until it is installed again")
            return
        if record:
            self._asked = record.asked
        if self._asked is None:
            raise RecordError(f"nothing is recorded in {self.folders.conf}: install first")
        if self._fights() and self._is_undone(self._asked, record):
            self._due = self._undone[-1] + PAUSE
            self._settle(f"undone again by somebody else: mended once in {PAUSE:g} s")
            return
        self._hold_plugin()
        self._hold_conflist(self._asked, record)
        self._settle("")

    def _is_undone(self, asked: Asked, record: Record | None) -> bool:
        return not bundle.state(self.folders.bin) or swap.plan(self.folders, asked, record).is_undone

    def _hold_plugin(self) -> None:
        if self._tree and not (self.folders.bin / bundle.HOME / bundle.CURRENT / bundle.PLUGIN).exists():
            bundle.install(self._tree, self.folders.bin, self._version)
            self._count(f"{self.folders.bin} has the bundle again: it had vanished", 0)
        if why := bundle.restore(self.folders.bin):
            self._count(f"{self.folders.bin / bundle.PLUGIN} is ours again: {why}", 0)

    def _hold_conflist(self, asked: Asked, record: Record | None) -> None:
        since = self._written_at(record)
        planned, _ = swap.hold(self.folders, asked, record)
        name = planned.name
        if planned.is_undone:
            astray = self._astray(since)
            more = f"; {astray} pods got another IPAM's address meanwhile" if astray else ""
            self._count(f"swapped {name} again: {planned.why}{more}", astray)
        elif planned.why:
            self._say(f"wrote {name}: {planned.why}")
            self.state = self.state._replace(applied=time.time())

    def _written_at(self, record: Record | None) -> float:
        try:
            return below(self.folders.root, record.file).stat().st_mtime if record else time.time()
        except OSError:
            return time.time()

    def _astray(self, since: float) -> int:
        """Count the pods that were made since another IPAM was in force."""
        entries = result_cache.read(self.folders.results)
        return sum(entry.made >= since and bool(entry.ipam_types - {OUR_TYPE}) for entry in entries)

    def _count(self, text: str, astray: int) -> None:
        state = self.state
        self.state = state._replace(reverts=state.reverts + 1, applied=time.time(), astray=state.astray + astray)
        self._undone.append(time.monotonic())
        self._say(text)
        if self._fights():
            text = f"undone more than {TOO_OFTEN[0]} times in {TOO_OFTEN[1] / 60:g} minutes: who else holds it?"
            self._say(f"warning: {text} From now on it is mended once in {PAUSE:g} s")

    def _fights(self) -> bool:
        """Whether it is too early to mend again what is undone again and again."""
        most, seconds = TOO_OFTEN
        now = time.monotonic()
        return len(self._undone) > most and now - self._undone[0] < seconds and now - self._undone[-1] < PAUSE

    def _fail(self, error: Exception, text: str) -> None:
        """Give what is being written a moment; then say what is wrong."""
        now = time.monotonic()
        self._fault_since = self._fault_since or now
        if now - self._fault_since < GRACE:
            self._due = now
            self.state = self.state._replace(fault=text)
            return
        if isinstance(error, NoneFoundError):
            self._remove_copies()
        self._settle(text)

    def _settle(self, fault: str) -> None:
        """Take note of what a check has come to; say it when it is news."""
        if fault != self._told:
            self._say(fault or "all is as it was asked for")
            self._told = fault
        if not fault:
            self._fault_since = 0.0
        self.state = self.state._replace(fault=fault)

    def _remove_copies(self) -> None:
        record = records.read(self.folders.conf)
        if record and record.copies:
            swap.remove_copies(self.folders, record)
            self._say(f"removed {', '.join(record.copies)}: its source is gone")

    def _matters(self, path: Path) -> bool:
        """Whether a change of this file can be one of ours: calico-kubeconfig, say, is not."""
        if path.parent == self.folders.bin:
            return path.name == bundle.PLUGIN
        return path.suffix in SUFFIXES or path.name == records.NAME

    def _events(self, stop: threading.Event) -> Iterator[set[Path]]:
        """Yield changed files, or nothing at each tick; arm anew when a folder has become another."""
        polling = False
        while not stop.is_set():
            identity = self._identity()
            yield set()
            self._due = 0.0  # once armed, check again
            if None in identity:
                stop.wait(TICK)
                continue
            try:
                for changes in self._armed(stop, polling):
                    yield {Path(path) for _, path in changes}
                    if self._identity() != identity:
                        break
            except (OSError, RuntimeError) as error:
                # A node may have used its inotify instances up.
                polling = True
                self._say(f"no file events here, looking twice a second instead: {error}")

    def _armed(self, stop: threading.Event, polling: bool) -> Iterator[set[tuple[Change, str]]]:
        return file_events(
            self.folders.bin, self.folders.conf, watch_filter=None, recursive=False,
            debounce=_DEBOUNCE, step=_STEP, rust_timeout=int(TICK * 1000), yield_on_timeout=True,
            stop_event=stop, raise_interrupt=False, force_polling=polling, poll_delay_ms=int(TICK * 1000),
        )  # fmt: skip

    def _identity(self) -> list[tuple[int, int] | None]:
        return [_inode(folder) for folder in (self.folders.bin, self.folders.conf)]


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
