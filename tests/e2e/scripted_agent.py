"""An agent that answers each request as a function says: the frozen plugin cannot tell it from a real one."""

import socket
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


@contextmanager
def scripted_agent(path: Path, answers: Answers) -> Iterator[list[Request]]:
    """Serve on a socket until the block ends; yield the requests so far, in the order in which they came."""
    heard: list[Request] = []
    conversations: list[threading.Thread] = []

    def converse(connection: socket.socket, request: Request) -> None:
        with connection, suppress(OSError):  # the caller may have been killed
            answer = answers(request)
            if answer is None:
                connection.recv(1)
            else:
                connection.sendall(answer)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # it was shut down
            # Read here and not in a thread, so that the requests of one caller stay in their order.
            request = _read(connection)
            if request is None:
                connection.close()
                continue
            heard.append(request)
            conversations.append(threading.Thread(target=converse, args=(connection, request)))
            conversations[-1].start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (server, *conversations):
                thread.join()


def _read(connection: socket.socket) -> Request | None:
    """Return the request; None where the caller has hung up before the end of it."""
    try:
        with connection.makefile("rb") as source:
            method, target, _ = source.readline().decode().split(" ")
            length = 0
            while line := source.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = source.read(length)
    except (OSError, ValueError):
        return None
    return Request(method, target.partition("?")[0], body) if len(body) == length else None
