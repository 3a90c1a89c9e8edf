"""Lines for stderr, which a thread of their own writes: work and SIGTERM never wait until somebody reads them.

While nobody does, the newest lines are kept, and the older ones are counted. Side effects: the thread, and its writes.
"""

import os
import threading
from collections import deque

from cni import ready
from cni.installer.log_line import WARN, Form

_LIMIT = 1000  # lines


class LogQueue:
    """What is still to be written to one descriptor."""

    def __init__(self, descriptor: int, form: Form) -> None:
        self._descriptor = descriptor
        self._form = form
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._writing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._write_all, daemon=True).start()

    def write(self, report: str) -> None:
        """Have a line written, with the present time. This never waits for a reader."""
        line = self._form(report)
        with self._changed:
            if len(self._lines) == _LIMIT:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(line)
            self._changed.notify_all()

    def close(self, timeout: float) -> None:
        """Wait until all lines are written, but for `timeout` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, timeout)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line, dropped, self._writing = self._lines.popleft(), self._dropped, True
            lines = [self._form(_told(dropped)), line] if dropped else [line]
            written = self._try("".join(f"{text}\n" for text in lines).encode(errors="backslashreplace"))
            with self._changed:
                self._dropped += -dropped if written else 1
                self._writing = False
                self._changed.notify_all()

    def _try(self, data: bytes) -> bool:
        """Wait until all is written; return False where it cannot be: the reader is gone, or the disk is full."""
        try:
            while data:
                ready.to_write(self._descriptor)  # whoever shares the descriptor may have made it non-blocking
                data = data[self._write_some(data) :]
        except (OSError, ValueError):
            return False
        return True

    def _write_some(self, data: bytes) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0


def _told(dropped: int) -> str:
    number = "1 earlier line of this log was" if dropped == 1 else f"{dropped} earlier lines of this log were"
    return f"{WARN}{number} dropped: not read in time"
