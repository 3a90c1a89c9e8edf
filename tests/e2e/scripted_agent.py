"""An agent that answers each request as a function says: the frozen plugin cannot tell it from a real one."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple


class Request(NamedTuple):
    """What an agent was asked."""

    method: str
    path: str  # without the query
    body: bytes


# What to answer; None: never, until the caller hangs up.
Answers = Callable[[Request], bytes | None]


def response(status: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class _Server(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 64


@contextmanager
def scripted_agent(path: Path, answers: Answers) -> Iterator[list[Request]]:
    """Serve on a socket until the block ends; yield the requests that were heard so far."""
    heard: list[Request] = []

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the caller may have been killed
                request = self.read()
                heard.append(request)
                answer = answers(request)
                if answer is None:
                    self.connection.recv(1)
                else:
                    self.wfile.write(answer)

        def read(self) -> Request:
            method, target = self.rfile.readline().decode().split(" ")[:2]
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            return Request(method, target.partition("?")[0], self.rfile.read(length))

    with _Server(str(path), Conversation) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield heard
        finally:
            server.shutdown()
            thread.join()
