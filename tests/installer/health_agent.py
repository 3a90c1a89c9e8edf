"""An agent that answers nothing but whether it is healthy."""

import socket
import threading
import time
from pathlib import Path


class HealthAgent:
    """A health answer on a socket, given as often as it is asked for, after `delay` seconds."""

    def __init__(self, path: Path, status: int = 200, delay: float = 0) -> None:
        self.asked = 0
        self._path, self._delay, self._answer = (
            path,
            delay,
            f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode(),
        )
        path.parent.mkdir(parents=True)
        self._thread = threading.Thread(target=self._serve)
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread.start()

    def _serve(self) -> None:
        time.sleep(self._delay)
        self._listener.bind(str(self._path))
        self._listener.listen()
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not connection.recv(4096):
                    return
                self.asked += 1
                connection.sendall(self._answer)

    def close(self) -> None:
        self._thread.join(self._delay)
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self._path))
        self._thread.join()
        self._listener.close()
