"""Switches the link to the installed version all the time, as upgrades do it: by one rename."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

from tests import requirements
from tests.portability.place import BIN, Place, opened

VERSIONS = ("0.1.0-aaaaaaaa", "0.1.0-bbbbbbbb")
PAUSE = 0.0003  # seconds


class Flips:
    """Counts how often the link was switched."""

    count = 0


@contextmanager
def flipped(*steps: str) -> Iterator[tuple[Place, Flips]]:
    """Make a place with two versions side by side, and flip between them until the block ends."""
    busybox = requirements.need_program("busybox")
    with opened(*steps, "two_versions", versions=" ".join(VERSIONS), busybox=busybox) as place:
        place.operator = f"{BIN}/.spiderpool/current/spiderpool-ipam"
        flips, ended = Flips(), threading.Event()
        thread = threading.Thread(target=_flip, args=(place, flips, ended))
        thread.start()
        try:
            yield place, flips
        finally:
            ended.set()
            thread.join()


def _flip(place: Place, flips: Flips, ended: threading.Event) -> None:
    folder = place.root / BIN[1:] / ".spiderpool"
    for version in cycle(VERSIONS):
        if ended.is_set():
            return
        (folder / "next").symlink_to(version)
        (folder / "next").rename(folder / "current")
        flips.count += 1
        time.sleep(PAUSE)
