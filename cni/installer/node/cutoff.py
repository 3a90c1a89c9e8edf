"""Cuts the connections of an httpx client at a moment, whatever comes over them. Side effects: a thread, and that.

httpx' own limits are for one read each: a server that sends its headers byte by byte never meets them.
"""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

# After TLS, the connection is another object.
_MADE = ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")


class Cutoff:
    """A moment, `seconds` from now, until `close`. A request takes part with `extensions=`."""

    def __init__(self, seconds: float) -> None:
        """Start to wait for it."""
        self.is_over = False
        self._streams: list[Any] = []
        self._lock = threading.Lock()
        self._start(seconds)

    def __enter__(self) -> "Cutoff":
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def extensions(self) -> dict[str, Any]:
        """What httpx is to be given with a request."""
        return {"trace": self._trace}

    def close(self) -> None:
        """Cut nothing any more."""
        self._timer.cancel()

    def postpone(self, seconds: float) -> None:
        """Have the moment be `seconds` from now."""
        self._timer.cancel()
        self._start(seconds)

    def _start(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(_MADE):
            with self._lock:
                self._streams.append(info["return_value"])
            if self.is_over:
                self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            connections = [one.get_extra_info("socket") for one in self._streams]
        for connection in connections:
            with suppress(OSError):  # it is closed already
                # An SSLSocket's own method would take the TLS from under the thread that reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
