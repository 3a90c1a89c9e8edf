"""A real HTTPS server that answers as it is told, and certificates for it and for its clients."""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests import requirements
from tests.serving import served

API = "/apis/crd.projectcalico.org/v1"
GROUPS = {
    "groups": [
        {"name": "crd.projectcalico.org", "versions": [{"groupVersion": "crd.projectcalico.org/v1"}]},
        {"name": "spiderpool.spidernet.io", "versions": [{"groupVersion": "spiderpool.spidernet.io/v2beta1"}]},
    ]
}


class Certificates(NamedTuple):
    """An authority, and a server's and a client's certificate by it; each .pem has a .key beside it."""

    ca: Path
    server: Path
    client: Path


class Seen(NamedTuple):
    """A request."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    client: str  # the common name of its certificate


Answer = tuple[int, dict[str, str], Any]
Handler = Callable[[Seen], Answer]


def make_certificates(folder: Path) -> Certificates:
    """Make them with openssl; the server's is for 127.0.0.1 and api.example."""
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "client.pem")
    make_certificate(made.ca, "ca", None, "basicConstraints=critical,CA:true")
    make_certificate(made.server, "server", made.ca, "subjectAltName=IP:127.0.0.1,DNS:api.example")
    make_certificate(made.client, "jane", made.ca, "extendedKeyUsage=clientAuth")
    return made


def make_certificate(path: Path, name: str, authority: Path | None, extension: str) -> None:
    """Make one, signed by an authority or by itself."""
    ca: list[Any] = ["-CA", authority, "-CAkey", authority.with_suffix(".key")] if authority else []
    program = requirements.need_program("openssl")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path.with_suffix(".key")]
    command = [program, "req", "-x509", *key, "-out", path, "-subj", f"/CN={name}", "-days", "2", *ca]
    subprocess.run([*command, "-addext", extension], check=True, capture_output=True, timeout=30)


@dataclass
class ApiServer:
    """The server. What is asked of a path that is not in `answers` is 404; a selector belongs to the path."""

    port: int
    scheme: str = "https"
    answers: dict[str, Handler] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    writing: Any = None  # what the last request is answered over

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def serve(self, path: str, *items: Any) -> None:
        """Serve a list, in pages of the `limit` that is asked for."""

        def answer(seen: Seen) -> Answer:
            start, limit = int(seen.query.get("continue", 0)), int(seen.query.get("limit", len(items) or 1))
            more = {"continue": str(start + limit)} if start + limit < len(items) else {}
            return 200, {}, {"metadata": more, "items": list(items[start : start + limit])}

        self.answers[path] = answer

    def say(self, path: str, *answers: Answer) -> None:
        """Answer one after the other, and then the last again and again."""
        left = list(answers)
        self.answers[path] = lambda _: left.pop(0) if len(left) > 1 else left[0]


def _not_found(_: Seen) -> Answer:
    return 404, {}, {"message": "not found"}


@contextmanager
def serving(certificates: Certificates | None) -> Iterator[ApiServer]:
    """Serve until the block ends; by plain HTTP without certificates."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            connection: Any = self.connection
            certificate: Any = (context and connection.getpeercert()) or {}
            names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            told = {name: ", ".join(self.headers.get_all(name, [])) for name in self.headers}
            one = Seen(url.path, query, told, "".join(names))
            api.seen.append(one)
            api.writing = self.wfile
            selectors = [f"?{key}={value}" for key, value in query.items() if key.endswith("Selector")]
            status, headers, body = api.answers.get("".join([url.path, *selectors]), _not_found)(one)
            self._answer(status, headers, body)

        def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            connection, address = self.socket.accept()
            connection.settimeout(20)  # a handshake that does not come must not stop the others
            if context:
                connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return connection, address

        def handle_error(self, *_: Any) -> None:
            pass  # a client that goes away, or does not trust the certificate

    context = _server_context(certificates) if certificates else None
    server = Server(("127.0.0.1", 0), Requests)
    api = ApiServer(server.server_address[1], "https" if certificates else "http")
    with served(server):
        try:
            yield api
        finally:
            api.stopping.set()


def _server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.ca))
    context.load_cert_chain(certificates.server, certificates.server.with_suffix(".key"))
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
