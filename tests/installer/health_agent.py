"""An agent that answers nothing but whether it is healthy."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def dripping(path: Path, answer: bytes, pause: float = 0.2) -> Iterator[None]:
    """Serve an answer that comes byte by byte, to whoever connects to the socket, one after the other."""
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    drip(connection)

    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        for place in range(len(answer)):
            if is_over.wait(pause):
                return
            connection.send(answer[place : place + 1], socket.MSG_NOSIGNAL)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.2)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
