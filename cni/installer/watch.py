"""Keep the plugin and the conflist as they were asked for. Side effects: bundle.restore and swap.hold, where needed.

calico-node writes its conflist at each start, in place; spiderpool-agent copies its own plugin over ours. Events come
from watchfiles: armed first, then checked. What no event tells (a folder that was recreated, a file behind a link) the
check of every minute finds. The folder of the bundle is watched as well: a copy over our link is written there.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from watchfiles import Change
from watchfiles import watch as file_events

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import plan as swap
from cni.installer.conflist import record as records
from cni.installer.conflist import result_cache
from cni.installer.conflist.document import OUR_TYPE, ConflistError, NoneFoundError
from cni.installer.conflist.folder import SUFFIXES
from cni.installer.conflist.record import Asked, Record, RecordError
from cni.installer.node import agent_health, lock
from cni.installer.node.folders import Folders
from cni.installer.node.host_root import below
from cni.installer.node.os_errors import one_line

TICK = 0.5  # seconds between two looks at the clock
GRACE = 3.0  # seconds that a half-written file has to become whole, and a removed one to come back
FULL_CHECK = 60.0  # seconds, with jitter: 5,000 nodes must not look at once
TOO_OFTEN = (5, 600.0)  # more than this many times in so many seconds is a fight
PAUSE = 60.0  # seconds between two moves in one
LOCK = 0.3  # seconds that another installer is waited for: SIGTERM ends watch within one

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


class _Undone:
    """When one thing was undone; mended again and again, it is a fight."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=TOO_OFTEN[0] + 1)

    def add(self) -> None:
        self._times.append(time.monotonic())

    @property
    def wait(self) -> float:
        """Seconds until it may be mended again; 0 where it is no fight."""
        most, seconds = TOO_OFTEN
        now = time.monotonic()
        if len(self._times) <= most or now - self._times[0] >= seconds:
            return 0
        return max(0, self._times[-1] + PAUSE - now)


class Watch:
    """Holds one node's installation; `check` may be called at any time, `run` calls it when it is needed."""

    def __init__(self, folders: Folders, tree: Path | None, version: str, say: Callable[[str], None]) -> None:
        self.folders = folders
        self.state = State()
        self._tree = tree  # what to install from where the bundle has vanished; None in a source tree
        self._version = version
        self._say = say
        self._asked: Asked | None = None
        self._settings: dict[str, Any] = {}
        self._told: str | None = None  # the last fault that was said
        self._fault_kind: type[Exception] | None = None
        self._fault_since = 0.0  # monotonic
        self._plugin, self._conflist = _Undone(), _Undone()
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
            self._require_installed()  # without the lock: its file is no business of an uninstalled node
            with lock.held(self.folders.state, timeout=LOCK):
                self._hold()
        except (ConflistError, RecordError, lock.LockedError, bundle.BundleError) as error:
            self._fail(error, str(error))
        except OSError as error:
            self._fail(error, one_line(error))

    @property
    def agent_socket(self) -> Path:
        """The socket that the pods' plugin asks."""
        return agent_health.socket_of(self.folders.root, self._settings)

    def _require_installed(self) -> Record | None:
        record = records.read(self.folders.conf)
        if record is None and not (self.folders.bin / bundle.HOME / bundle.CURRENT).is_symlink():
            raise UninstalledError
        return record

    def _hold(self) -> None:
        record = self._require_installed()
        if record and not record.is_in_force:
            how = "given back by uninstall" if record.given_back else "never swapped to the end"
            self._settle(f"it was {how}: nothing is held until it is installed again")
            return
        if record:
            self._asked = record.asked
        if self._asked is None:
            raise RecordError(f"nothing is recorded in {self.folders.conf_name}: install first")
        left = {self._hold_plugin(), self._hold_conflist(self._asked, record)}
        self._settle("; ".join(sorted(left - {""})))

    def _hold_plugin(self) -> str:
        """Mend the plugin; say what is left as it is."""
        folder = self.folders.bin
        launchers = [folder / bundle.HOME / bundle.CURRENT / name for name in (bundle.PLUGIN, bundle.TWIN)]
        if self._tree and not any(path.exists() for path in launchers):
            bundle.install(self._tree, folder, self._version)
            self._count(self._plugin, f"{self.folders.bin_name} has the bundle again: it had vanished", 0)
        if why := bundle.undone(folder):
            if self._plugin.wait and (folder / bundle.PLUGIN).exists():  # a name that leads nowhere is always mended
                return self._wait(self._plugin)
            bundle.restore(folder)
            self._count(self._plugin, f"{self.folders.bin_name}/{bundle.PLUGIN} is ours again: {why}", 0)
        return ""

    def _hold_conflist(self, asked: Asked, record: Record | None) -> str:
        """Mend the conflist; say what is left as it is."""
        since = self._written_at(record)
        try:
            planned = swap.plan(self.folders, asked, record)
            self._settings = planned.settings
            if planned.is_undone and self._conflist.wait:
                return self._wait(self._conflist)
            planned = swap.hold(self.folders, asked, record)
        except NoneFoundError as error:
            if record and record.copies and self._grace_left(error) <= 0:
                for line in swap.remove_copies(self.folders, record):
                    self._say(f"{line}: its source is gone")
                records.write(self.folders.conf, record._replace(copies=[]))
            raise
        name = planned.target.name
        if planned.is_undone:
            astray = self._astray(since, planned.source.delegation.network)
            more = f"; {astray} pods got another IPAM's address meanwhile" if astray else ""
            self._count(self._conflist, f"swapped {name} again: {planned.why}{more}", astray)
        elif planned.why:
            self._say(f"wrote {name}: {planned.why}")
            self.state = self.state._replace(applied=time.time())
        return ""

    def _written_at(self, record: Record | None) -> float:
        try:
            return below(self.folders.root, record.file).stat().st_mtime if record else time.time()
        except OSError:
            return time.time()

    def _astray(self, since: float, network: str) -> int:
        """Count the pods of this network that were made since another IPAM was in force."""
        entries = [entry for entry in result_cache.read(self.folders.results) if entry.network == network]
        return sum(entry.made >= since and bool(entry.ipam_types - {OUR_TYPE}) for entry in entries)

    def _count(self, undone: _Undone, text: str, astray: int) -> None:
        state = self.state
        self.state = state._replace(reverts=state.reverts + 1, applied=time.time(), astray=state.astray + astray)
        undone.add()
        self._say(text)
        if undone.wait:
            text = f"undone more than {TOO_OFTEN[0]} times in {TOO_OFTEN[1] / 60:g} minutes: who else holds it?"
            self._say(f"warning: {text} From now on it is mended once in {PAUSE:g} s")

    def _wait(self, undone: _Undone) -> str:
        """Have the next check when it is time to mend again."""
        self._due = min(self._due, time.monotonic() + undone.wait)
        return f"undone again by somebody else: mended once in {PAUSE:g} s"

    def _fail(self, error: Exception, text: str) -> None:
        """Give what is being written a moment; then say what is wrong."""
        if self._grace_left(error) > 0:
            self._due = time.monotonic()
            self.state = self.state._replace(fault=text)
            return
        self._settle(text)

    def _grace_left(self, error: Exception) -> float:
        """Return the seconds that this fault has to pass by itself; another fault begins anew."""
        if self._fault_kind is not type(error):
            self._fault_kind, self._fault_since = type(error), time.monotonic()
        return self._fault_since + GRACE - time.monotonic()

    def _settle(self, fault: str) -> None:
        """Take note of what a check has come to; say it when it is news."""
        if fault != self._told:
            self._say(fault or "all is as it was asked for")
            self._told = fault
        if not fault:
            self._fault_kind = None
        self.state = self.state._replace(fault=fault)

    def _matters(self, path: Path) -> bool:
        """Whether a change of this file can be one of ours: calico-kubeconfig, say, is not."""
        return path.name.startswith(bundle.PLUGIN) or path.suffix in SUFFIXES or path.name == records.NAME

    def _events(self, stop: threading.Event) -> Iterator[set[Path]]:
        """Yield changed files, or nothing at each tick; arm anew when a folder has become another."""
        polling = False
        while not stop.is_set():
            identity = self._identity()
            yield set()
            self._due = 0.0  # once armed, check again
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
                    continue  # a folder has vanished meanwhile
                # A node may have used its inotify instances up.
                polling = True
                self._say(f"no file events here, looking twice a second instead: {error}")

    def _armed(self, stop: threading.Event, polling: bool) -> Iterator[set[tuple[Change, str]]]:
        return file_events(
            *(folder for folder in self._watched() if folder.is_dir()), watch_filter=None, recursive=False,
            debounce=_DEBOUNCE, step=_STEP, rust_timeout=int(TICK * 1000), yield_on_timeout=True,
            stop_event=stop, raise_interrupt=False, force_polling=polling, poll_delay_ms=int(TICK * 1000),
        )  # fmt: skip

    def _watched(self) -> list[Path]:
        return [self.folders.bin, self.folders.conf, (self.folders.bin / bundle.HOME / bundle.CURRENT).resolve()]

    def _identity(self) -> list[tuple[int, int] | None]:
        return [_inode(folder) for folder in self._watched()]


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
