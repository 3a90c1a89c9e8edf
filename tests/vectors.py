"""The vectors of spec/vectors: reading them, running one against a plugin, judging what came out.

The format and its rules stand in spec/vectors/README.md.
"""

import contextlib
import fcntl
import http.client
import http.server
import json
import os
import socket
import socketserver
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.own_state import can_have_own_state, with_own_state
from tests.serving import served

FOLDER = Path(__file__).parent.parent / "spec" / "vectors"
FILES = ("env.json", "stdin.json", "agent.json", "stdout.json")
TIME_LIMIT = 20  # seconds for one vector; the slowest are CHECKs that retry for 3 s

# What the plugin's entry point looks like: environment, then the descriptors of stdin, stdout and stderr.
Main = Callable[[Mapping[bytes, bytes], int, int, int], int]


class Vector(NamedTuple):
    """One case: what a plugin is called with, what the agent answers, what the plugin must print."""

    version: str
    case: str
    environment: dict[str, str]
    stdin: bytes
    agent: list[dict[str, Any]] | None
    stdout: Any

    @property
    def name(self) -> str:
        return f"{self.version}/{self.case}"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The distinct requests that our own plugin makes, in order."""
        return [exchange["request"] for exchange in self.agent or []]


class Outcome(NamedTuple):
    """What one run of a plugin printed and asked its agent for."""

    status: int
    stdout: bytes
    stderr: bytes
    requests: list[dict[str, Any]]
    log: list[str]  # the lines of the log file that the configuration names


def load(folder: Path = FOLDER) -> list[Vector]:
    """Read all vectors, in order of version and case."""
    return [_read(case) for case in sorted(folder.glob("*/*/"))]


def _read(case: Path) -> Vector:
    environment, agent, stdout = [
        json.loads((case / f"{part}.json").read_bytes()) for part in ("env", "agent", "stdout")
    ]
    return Vector(case.parent.name, case.name, environment, (case / "stdin.json").read_bytes(), agent, stdout)


class _ScriptedAgent(socketserver.ThreadingUnixStreamServer):
    """A scripted stand-in for spiderpool-agent: it replays recorded answers, as a real one needs a Kubernetes API.

    It refuses what real agents were seen to refuse: no Host header, a body without its content type.
    """

    daemon_threads = True

    def __init__(self, path: str, exchanges: list[dict[str, Any]], *, bytewise: bool) -> None:
        super().__init__(path, _Conversation)
        self.exchanges = exchanges
        self.bytewise = bytewise
        self.requests: list[dict[str, Any]] = []

    def response_to(self, method: str, target: str) -> dict[str, Any]:
        path = target.partition("?")[0]
        for exchange in self.exchanges:
            if (exchange["request"]["method"], exchange["request"]["target"].partition("?")[0]) == (method, path):
                response: dict[str, Any] = exchange["response"]
                return response
        if (method, path) == ("GET", "/v1/ipam/healthy"):  # upstream's Go plugin asks before each call
            return {"status": 200}
        return {"status": 404, "body": {"code": 404, "message": f"path {path} was not found"}}


class _Conversation(http.server.BaseHTTPRequestHandler):
    server: _ScriptedAgent
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = {"method": self.command, "target": self.path} | ({"body": json.loads(body)} if body else {})
        self.server.requests.append(request)
        if "Host" not in self.headers:
            self._send({"status": 400, "body": "missing required Host header"})
        elif body and self.headers.get_content_type() != "application/json":
            self._send({"status": 415, "body": {"code": 415, "message": "unsupported media type"}})
        else:
            self._send(self.server.response_to(self.command, self.path))

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def _send(self, response: dict[str, Any]) -> None:
        # The caller may hang up as soon as it has seen enough.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            message = encode(response)
            for piece in [message[i : i + 1] for i in range(len(message))] if self.server.bytewise else [message]:
                self.connection.sendall(piece)
                if self.server.bytewise and self._hung_up_after_reading():
                    break
        if "cut" in response or response.get("framing") == "close":
            self.close_connection = True

    def _hung_up_after_reading(self) -> bool:
        """Wait until the caller has read; tell whether it shut down its side, which makes real agents cancel."""
        while fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)) != bytes(4):
            time.sleep(0)
        try:
            self.close_connection = not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return self.close_connection

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def encode(response: dict[str, Any]) -> bytes:
    """Write an HTTP response as real agents do: JSON strings and results end with a newline, error objects do not."""
    # There is no standard phrase for the agent's statuses 521 and 522.
    head, body = f"HTTP/1.1 {response['status']} {http.client.responses.get(response['status'], '')}\r\n", b""
    if "body" in response:
        is_error_object = 400 <= response["status"] < 500 and isinstance(response["body"], dict)
        body = json.dumps(response["body"], ensure_ascii=False).encode() + (b"" if is_error_object else b"\n")
        head += "Content-Type: application/json\r\n"
    framing, cut = response.get("framing", "content-length"), response.get("cut")
    if framing == "chunked":
        head += "Transfer-Encoding: chunked\r\n"
        body = b"%x\r\n%b" % (len(body), body[:cut]) if cut is not None else _chunks(body)
    elif framing == "close":
        head += "Connection: close\r\n"
        body = body[:cut]
    else:
        head += f"Content-Length: {len(body)}\r\n"
        body = body[:cut]
    return head.encode() + b"\r\n" + body


def _chunks(body: bytes) -> bytes:
    pieces = [body[i : i + 700] for i in range(0, len(body), 700)]
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""]])


@contextlib.contextmanager
def _serving(agent: list[dict[str, Any]] | None, path: str, *, bytewise: bool) -> Iterator[list[dict[str, Any]]]:
    if agent is None:
        yield []
        return
    server = _ScriptedAgent(path, agent, bytewise=bytewise)
    with served(server):
        yield server.requests


def run(vector: Vector, main: Main, *, bytewise: bool = False) -> Outcome:
    """Call a plugin as a runtime does, beside the vector's agent; `bytewise` feeds the agent's answers byte by byte."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # a socket's path may not be longer than 107 bytes
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        _serving(vector.agent, f"{folder}/agent.sock", bytewise=bytewise) as requests,
    ):
        stdin, entry = os.pipe()
        os.write(entry, staged_stdin(vector, folder))
        os.close(entry)
        environment = {os.fsencode(key): os.fsencode(value) for key, value in vector.environment.items()}
        try:
            status = main(environment, stdin, stdout.fileno(), stderr.fileno())
        finally:
            os.close(stdin)
        stdout.seek(0)
        stderr.seek(0)
        log_file = Path(folder, "log")
        log = log_file.read_text().splitlines() if log_file.exists() else []
        return Outcome(status, stdout.read(), stderr.read(), list(requests), log)


def staged_stdin(vector: Vector, folder: str) -> bytes:
    """Replace the placeholders by real paths."""
    return vector.stdin.replace(b"@SOCKET@", f"{folder}/agent.sock".encode()).replace(
        b"@LOG@", f"{folder}/log".encode()
    )


def executable(path: Path) -> Main:
    """Make a program callable like the plugin's entry point; it raises subprocess.TimeoutExpired after TIME_LIMIT.

    A DEL may write a pending release below /var/lib, so it gets a /var/lib of its own where the machine allows that.
    """

    def main(environment: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        command = [str(path)]
        with tempfile.TemporaryDirectory() as folder:
            if environment.get(b"CNI_COMMAND") == b"DEL" and can_have_own_state(path):
                command = with_own_state(Path(folder), path)
            return subprocess.run(
                command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, timeout=TIME_LIMIT
            ).returncode

    return main


def fault(vector: Vector, outcome: Outcome) -> str:
    """Say what is wrong with the outcome of any plugin; return an empty text when the vector holds."""
    if vector.stdout is None:
        return "" if (outcome.status, outcome.stdout) == (0, b"") else "silence and status 0 expected"
    try:
        printed = json.loads(outcome.stdout)
    except ValueError:
        return "stdout is not one JSON document"
    if not isinstance(printed, dict):
        return "stdout is not a JSON object"
    if "code" in vector.stdout:
        # containernetworking's own error type prints no cniVersion, so it may be missing, but it may not be wrong.
        version = printed.get("cniVersion", vector.version)
        right = outcome.status == 1 and (version, printed.get("code")) == (vector.version, vector.stdout["code"])
        return "" if right else "another error expected, with status 1"
    if outcome.status != 0:
        return "a result and status 0 expected"
    return "" if _essence(printed) == _essence(vector.stdout) else "the result differs"


def _essence(result: dict[str, Any]) -> dict[str, Any]:
    """Leave out empty dns and routes, at the top and in ip4 and ip6, because they mean the same as absent ones."""
    empty: dict[str, Any] = {"dns": {}, "routes": []}
    kept = {key: value for key, value in result.items() if key not in empty or value not in (None, empty[key])}
    return {
        key: _essence(value) if key in ("ip4", "ip6") and isinstance(value, dict) else value
        for key, value in kept.items()
    }
