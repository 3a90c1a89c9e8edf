"""Serves metrics over HTTP to few clients at once, each for a short time. Side effects: a socket, and threads.

A client that sends its request slowly, or never, holds one of the connections until its time is up. Further clients
wait in the kernel's queue meanwhile.
"""

import io
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler

from cni.deadline import Deadline

CONNECTIONS = 8
TIME_LIMIT = 3.0  # seconds for one request and its answer

REPORT = "/report"

_PAUSE = 0.1  # seconds after a connection that could not be accepted: there may be no more descriptors


def serve(
    host: str, port: int, registry: CollectorRegistry, report: Callable[[], tuple[HTTPStatus, bytes]] | None = None
) -> None:
    """Serve in a thread of its own, and at /report a report, if there is one. OSError: the address cannot be used."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server = _Server(family, address, type("Handler", (_Handler,), {"registry": registry, "report": (report,)}))
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Server(ThreadingMixIn, TCPServer):
    """Not http.server's, which asks DNS for the host's name before it starts: that can take long on a new node."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128  # connections that wait for one of the few

    def __init__(self, family: int, address: Any, handler: type) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        self._free.acquire()  # for TIME_LIMIT at most
        try:
            return super().get_request()
        except OSError:
            self._free.release()
            time.sleep(_PAUSE)
            raise

    def shutdown_request(self, request: Any) -> None:
        try:
            super().shutdown_request(request)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is none of the operator's business, and stderr may not be read."""


class _Handler(MetricsHandler):
    report: tuple[Callable[[], tuple[HTTPStatus, bytes]] | None]

    def do_GET(self) -> None:  # noqa: N802  (http.server's name)
        """Answer with the metrics, whatever the path, but for that of the report."""
        (report,) = self.report
        if report is None or self.path.partition("?")[0] != REPORT:
            super().do_GET()
            return
        status, body = report()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def setup(self) -> None:
        super().setup()
        stream = _TimedStream(self.connection, Deadline(TIME_LIMIT))
        self.rfile, self.wfile = io.BufferedReader(stream), io.BufferedWriter(stream)


class _TimedStream(io.RawIOBase):
    """A connection that ends at a deadline: http.server's own timeout begins anew with each byte."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._deadline.require_left())
        return self._connection.recv_into(buffer)

    def write(self, data: Any) -> int:
        self._connection.settimeout(self._deadline.require_left())
        self._connection.sendall(data)
        return len(data)
