"""Compare the installed release with its SHA256SUMS, once an hour. Side effect: reads all its files.

In a thread of its own, at the lowest priority: it takes 50 ms and more, and holds up neither the checks nor SIGTERM.
"""

import os
import threading
from collections.abc import Callable

from cni.installer.bundle import plugin_links
from cni.installer.log_line import ERROR
from cni.installer.reconciler import Reconciler

VERIFY_EVERY = 3600.0  # seconds
_LOWEST = 19  # the niceness


class BundleWatch:
    """Looks after the files that the checks of every minute only count."""

    def __init__(self, reconciler: Reconciler, log: Callable[[str], None]) -> None:
        self._reconciler = reconciler
        self._log = log

    def run(self, stop: threading.Event) -> None:
        """Compare until `stop` is set; the reconciler mends what is found."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        while True:
            try:
                self._reconciler.flaw = plugin_links.verify(self._reconciler.folders.bin, stop.is_set)
            except Exception as error:
                # Whatever it is, the next round may succeed.
                self._log(f"{ERROR}the installed release cannot be compared: {type(error).__name__}: {error}")
            if stop.wait(VERIFY_EVERY):
                return
