"""Looks at a node's folders all the time, as a runtime might at any moment, and counts what is written there.

inotify is asked directly: watchfiles gathers events, so that it cannot count.
"""

import ctypes
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cni import ready
from tests.installer.meshes import net_d

_CLOSED, _MOVED_FROM, _MOVED_TO, _DELETED = 0x8, 0x40, 0x80, 0x200
_EVENT = struct.Struct("iIII")
_PAUSE = 0.002  # seconds between two looks where nothing happens
_libc = ctypes.CDLL(None, use_errno=True)


class Look(NamedTuple):
    """What a runtime would load."""

    name: str  # of the first valid file; "" where there is none
    ipam: str
    types: tuple[str, ...]
    missing: tuple[str, ...]  # the types that have no executable


class Looks:
    """A thread that looks. `seen` has each look that differs from the one before, with its time."""

    def __init__(self, conf: Path, plugins: Path) -> None:
        self.conf, self.plugins = conf, plugins
        self.seen: list[tuple[float, Look]] = []
        self.writes: list[tuple[float, str]] = []  # of configurations: when, and which
        self.count = 0
        self._renamed: dict[str, tuple[int, int]] = {}  # what was put in a name's place last, by inode and time
        self._stop = threading.Event()
        self._events = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = _CLOSED | _MOVED_FROM | _MOVED_TO | _DELETED
        assert self._events >= 0 and _libc.inotify_add_watch(self._events, os.fsencode(conf), mask) >= 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._events)

    def since(self, moment: float) -> list[Look]:
        """Return what was seen from then on, with what was there at that moment."""
        before = [look for when, look in self.seen if when <= moment][-1:]
        return before + [look for when, look in self.seen if when > moment]

    def written_since(self, moment: float) -> list[str]:
        return [name for when, name in self.writes if when > moment]

    def first(self, condition: Callable[[Look], bool], moment: float) -> float:
        """Return when something was seen first, from a moment on."""
        return next(when for when, look in self.seen if when > moment and condition(look))

    def look(self) -> Look:
        before = self._executables()  # an installer puts its executable first, and removes it last
        path = net_d.first_valid(self.conf)
        found = net_d.read(path) if path else None
        if path is None or found is None:
            return Look("", "", (), ())
        types = tuple(net_d.types(found))
        missing = set(types) - before
        if missing:
            missing -= self._executables()
        return Look(path.name, found["plugins"][0].get("ipam", {}).get("type", ""), types, tuple(sorted(missing)))

    def _executables(self) -> set[str]:
        return {path.name for path in self.plugins.iterdir()}

    def _run(self) -> None:
        while not self._stop.is_set():
            ready.to_read(self._events, _PAUSE)
            self._read_events()
            look = self.look()
            self.count += 1
            if not self.seen or look != self.seen[-1][1]:
                self.seen.append((time.monotonic(), look))

    def _read_events(self) -> None:
        try:
            data = os.read(self._events, 65536)
        except BlockingIOError:
            return
        now = time.monotonic()
        while data:
            _, kind, _, length = _EVENT.unpack_from(data)
            name = os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
            data = data[_EVENT.size + length :]
            if Path(name).suffix in (".conf", ".conflist", ".json") and not name.startswith("."):
                self._count(name, kind, now)

    def _count(self, name: str, kind: int, now: float) -> None:
        """Count a write once, also where a file takes another's name while it is open, or both exchange their names."""
        try:
            status = (self.conf / name).stat()
            version = (status.st_ino, status.st_mtime_ns)
        except OSError:
            version = (0, 0)
        is_close_of_renamed = kind & _CLOSED and self._renamed.pop(name, None) == version
        is_one_half_of_exchange = kind & _MOVED_FROM and version != (0, 0)
        if not is_close_of_renamed and not is_one_half_of_exchange:
            self.writes.append((now, name))
        if kind & _MOVED_TO:
            self._renamed[name] = version
