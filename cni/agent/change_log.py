"""One line on stderr for each change and each refusal. Never raises, never waits."""

import os
import select
import sys
import threading
import time

_LINE_LIMIT = 1000  # bytes; less than a pipe takes at once when it says that it is writable (PIPE_BUF)
_LOCK = threading.Lock()


def log(text: str) -> None:
    """Write a line with its time; drop it when whoever reads stderr has stopped: the agent goes on."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    line = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + printable
    with _LOCK:
        try:
            stderr = sys.__stderr__.fileno() if sys.__stderr__ else -1
            if select.select([], [stderr], [], 0)[1]:
                os.write(stderr, line.encode("utf-8", "replace")[:_LINE_LIMIT] + b"\n")
        except (OSError, ValueError):
            pass
