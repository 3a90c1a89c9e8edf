"""A real HTTP proxy on loopback that counts what it is asked: CONNECT, and GET of a whole URL.

Whatever server it is asked for, it goes to one on loopback, so that tests can use names and addresses of others.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.doctor.api_server import Certificates
from tests.serving import served

_SECONDS = 20


@dataclass
class Proxy:
    """The proxy, and what it was asked for."""

    url: str
    asked: list[str] = field(default_factory=list)
    status: int = 200  # its answer to CONNECT


@contextmanager
def running(port: int, certificates: Certificates | None = None) -> Iterator[Proxy]:
    """Lead everything to this port until the block ends; with certificates, clients come by TLS."""

    class Requests(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_CONNECT(self) -> None:
            proxy.asked.append(f"CONNECT {self.path}")
            self.send_response(proxy.status)
            self.end_headers()
            if proxy.status == 200:
                with socket.create_connection(("127.0.0.1", port), _SECONDS) as server:
                    back = threading.Thread(target=_copy, args=(server, self.connection))
                    back.start()
                    _copy(self.connection, server)
                    back.join()

        def do_GET(self) -> None:
            proxy.asked.append(f"GET {self.path}")
            server = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
            server.request("GET", self.path, headers={"Host": self.headers["Host"]})
            answer = server.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            server.close()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that goes away

    server = Server(("127.0.0.1", 0), Requests)
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy = Proxy(f"http{'s' if certificates else ''}://127.0.0.1:{server.server_address[1]}")
    with served(server):
        yield proxy


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
