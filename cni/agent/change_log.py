"""Writes one line to stderr for each change and each refused request. Never raises and never waits."""

import os
import sys
import threading
import time

from cni import ready

_LINE_LIMIT = 1000  # bytes; a pipe that polls as writable takes as much at once (PIPE_BUF is 4096)
_LOCK = threading.Lock()


def log(text: str) -> None:
    """Write a line with the time. It is dropped where stderr is not read any more, so that the agent goes on."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    line = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + text
    with _LOCK:
        try:
            stderr = sys.__stderr__.fileno() if sys.__stderr__ else -1
            if ready.to_write(stderr, 0):
                os.write(stderr, line.encode("utf-8", "replace")[:_LINE_LIMIT] + b"\n")
        except (OSError, ValueError):
            pass
