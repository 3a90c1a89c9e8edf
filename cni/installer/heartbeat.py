"""Tell systemd that watch has started, and that it goes on (sd_notify(3)). Side effect: datagrams to NOTIFY_SOCKET."""

import socket
from collections.abc import Mapping

from cni.deadline import Deadline

_EVERY = 5.0  # seconds between two messages; a quarter of WatchdogSec, where that is less
_MESSAGE = b"READY=1\nWATCHDOG=1"  # READY means something only in the first one


class Heartbeat:
    """The messages of one process to the manager that has started it; none where its unit asks for none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        microseconds = environment.get("WATCHDOG_USEC", "")
        self._every = min(_EVERY, int(microseconds) / 4e6) if microseconds.isdecimal() else _EVERY
        self._pause = Deadline(0)

    def beat(self) -> None:
        """Send a message, unless one was sent just now. A manager that does not take it gets it at the next call."""
        if not self._address or self._pause.left():
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(_MESSAGE, self._address)
        except OSError:
            return
        self._pause = Deadline(self._every)
