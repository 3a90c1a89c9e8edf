"""Counts the pods that got their address from another IPAM while others had changed the conflist.

A main plugin's caller writes libcni's cache entry after the ADD has ended, and that may be after the repair. So the
entries are looked at several times. Side effect: reads libcni's cache.
"""

import time
from pathlib import Path

from cni.deadline import Deadline
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import result_cache

_LOOKS = (0.0, 2.0, 5.0, 15.0, 60.0, 180.0)  # seconds after others' change was seen last; the kubelet waits 120 at most


class Astray:
    """The pods of one node. Each is counted once."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # network -> Unix seconds of the earliest change that is being looked into
        self._looks: list[Deadline] = []
        self._counted: set[Path] = set()

    def note(self, network: str, written: float, swapped: float) -> None:
        """Note that others have changed the conflist of a network: at `written`, but after `swapped` (Unix seconds).

        To be called whenever that is seen, repaired or not.
        """
        # A file may have been put back with an old date. File systems may keep whole seconds of an entry's date.
        self._since.setdefault(network, min(max(int(written), swapped), time.time()))
        self._looks = [Deadline(seconds) for seconds in _LOOKS]

    def count(self, results: Path) -> int:
        """Return how many pods went astray that were not counted yet; it looks only if it is time to."""
        if not self._looks or self._looks[0].left():
            return 0
        self._looks = [look for look in self._looks if look.left()]
        try:
            attachments = list(result_cache.read(results))
        except OSError:  # a count is nothing to stop for
            return 0
        self._counted &= {one.path for one in attachments}
        found = {
            one.path
            for one in attachments
            if one.made >= self._since.get(one.network, float("inf")) and one.ipam_types - {IPAM_TYPE}
        } - self._counted
        self._counted |= found
        if not self._looks:
            self._since.clear()
        return len(found)


def written_at(conflist: Path) -> float:
    """Return when a file was written last, in Unix seconds: another IPAM may be in force since then. 0: missing."""
    try:
        return conflist.stat().st_mtime
    except OSError:
        return 0
