"""Stands between plugin and agent, and does what an agent or a connection may do wrong. Side effect: the sockets.

The plugin makes one connection for each request. Requests reach the agent in the order in which they came, as without a
proxy, and when a client hangs up, so does the proxy. An ADD that the proxy answers with 500 never gets to the agent:
the plugin takes 500 for a refusal, after which it releases nothing (cni/plugin/agent_client.py says why).
"""

import random
import re
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cni import ready

ADD = "POST /ipam/ip"
REFUSAL = b'HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"soak"\n'
NONSENSE = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}",
    b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"ips":[{}]}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\0" * 4096,
)
# kind of fault -> how many of 1000 requests it affects
CHANCES = {
    "answer cut": 70,
    "answer slow": 15,
    "500, nothing done": 15,
    "500, but done": 15,
    "nonsense, but done": 15,
    "no answer until the deadline": 3,
}
GIVE_TWICE_EVERY = 20  # ADDs, for an agent that is broken on purpose
NOT_DONE = ("500, nothing done", "no answer until the deadline")
_READ_TIMEOUT = 2  # seconds for the plugin to send a request, which it does at once
_SLOW_PAUSE = 0.02  # seconds between two pieces
_SIZE = 65536


class Cuts:
    """Cuts the answers of each operation, one byte later each time, so that every length is tried."""

    def __init__(self) -> None:
        self._next: Counter[str] = Counter()
        self._longest: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next(self, operation: str, answer: bytes) -> int:
        with self._lock:
            self._longest[operation] = max(self._longest[operation], len(answer))
            length = self._next[operation] % max(1, len(answer))
            self._next[operation] += 1
        return length

    def coverage(self) -> dict[str, str]:
        """Return how many of the possible lengths were tried, by operation."""
        return {
            operation: f"{min(self._next[operation], longest)} of {longest}"
            for operation, longest in sorted(self._longest.items())
        }


class Request(NamedTuple):
    """A whole request."""

    operation: str  # method and path
    data: bytes

    @property
    def pod(self) -> str:
        found = re.search(rb"pod-\d+", self.data)
        return found[0].decode() if found else ""

    @property
    def container(self) -> str:
        found = re.search(rb'containerID"?[:=]"?(\w{6})', self.data)
        return found[1].decode() if found else ""


class Proxy:
    """Serves on `path` what `agent` answers, or a fault."""

    def __init__(self, path: Path, agent: Path, dice: random.Random, *, gives_twice: bool = False) -> None:
        self.met: Counter[str] = Counter()
        self.journal: list[tuple[float, str, str]] = []  # monotonic seconds, pod, what happened
        self.cuts = Cuts()
        self.is_calm = False  # pass everything on
        self._path = path
        self._agent = agent
        self._dice = dice
        self._gives_twice = gives_twice
        self._added: list[bytes] = []
        self._listener = self._listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections during the block, as after an agent was killed: the file of its socket stays."""
        self._listener.close()
        try:
            yield
        finally:
            self._path.unlink()
            self._listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(128)
        return listener

    def _serve(self) -> None:
        while True:
            listener = self._listener
            # An accept() that waits would not notice that its socket is closed.
            with suppress(OSError, ValueError):
                if ready.to_read(listener.fileno(), 0.05):
                    self._take(listener.accept()[0])

    def _take(self, client: socket.socket) -> None:
        """Read a request and pass it on, or not; a thread does the rest of the conversation."""
        client.settimeout(_READ_TIMEOUT)
        request = _read_request(client)
        client.settimeout(None)
        if request is None:  # the plugin was killed
            client.close()
            return
        kind = "" if self.is_calm else self._chosen()
        if kind == "500, but done" and request.operation == ADD:
            kind = "500, nothing done"
        self.met[kind] += 1
        words = f"    {request.operation} {request.container}: {kind or 'passed on'}"
        self.journal.append((time.monotonic(), request.pod, words))
        agent = None if kind in NOT_DONE else self._passed_on(request)
        threading.Thread(target=self._converse, args=(client, agent, request, kind), daemon=True).start()

    def _chosen(self) -> str:
        (kind,) = self._dice.choices(["", *CHANCES], [1000 - sum(CHANCES.values()), *CHANCES.values()])
        return kind

    def _passed_on(self, request: Request) -> socket.socket | None:
        """Send a request to the agent; return the connection, or None where the agent does not listen."""
        agent = socket.socket(socket.AF_UNIX)
        try:
            agent.connect(str(self._agent))
            agent.sendall(request.data)
        except OSError:
            agent.close()
            return None
        return agent

    def _converse(self, client: socket.socket, agent: socket.socket | None, request: Request, kind: str) -> None:
        with client, suppress(OSError):
            if kind == "no answer until the deadline":
                client.recv(1)
            elif kind == "500, nothing done":
                client.sendall(REFUSAL)
            elif agent and (answer := _answer(client, agent)):
                self._send(client, request, answer, kind)

    def _send(self, client: socket.socket, request: Request, answer: bytes, kind: str) -> None:
        if kind == "500, but done":
            answer = REFUSAL
        elif kind == "nonsense, but done":
            answer = self._dice.choice(NONSENSE)
        elif kind == "answer cut":
            answer = answer[: self.cuts.next(request.operation, answer)]
        elif self._gives_twice and request.operation == ADD:
            answer = self._given_twice(answer)
        step = len(answer) // 10 + 1 if kind == "answer slow" else _SIZE
        while answer:
            client.sendall(answer[:step])
            answer = answer[step:]
            if answer and _hangs_up(client, _SLOW_PAUSE):
                return

    def _given_twice(self, answer: bytes) -> bytes:
        """Answer now and then with the address of another pod, as a broken agent would."""
        if not answer.startswith(b"HTTP/1.1 200"):
            return answer
        self._added.append(answer)
        return self._added[-2] if len(self._added) % GIVE_TWICE_EVERY == 0 else answer


def _answer(client: socket.socket, agent: socket.socket) -> bytes:
    """Return the agent's answer; nothing where the client hangs up first."""
    pieces: list[bytes] = []
    with agent:
        poller = select.poll()
        poller.register(client, select.POLLIN)
        poller.register(agent, select.POLLIN)
        while True:
            if client.fileno() in {descriptor for descriptor, _ in poller.poll()}:
                return b""
            piece = agent.recv(_SIZE)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)


def _read_request(client: socket.socket) -> Request | None:
    """Return a whole request; None where the client hangs up first, or takes too long."""
    data = b""
    while b"\r\n\r\n" not in data or len(data) < _whole(data):
        try:
            piece = client.recv(_SIZE)
        except OSError:
            return None
        if not piece:
            return None
        data += piece
    method, target, *_ = data.decode().split(" ", 2)
    return Request(f"{method} {target.partition('?')[0].removeprefix('/v1')}", data)


def _whole(data: bytes) -> int:
    """Return the length of a request whose head is there."""
    head, _, _ = data.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return len(head) + 4 + (int(lengths[0]) if lengths else 0)


def _hangs_up(client: socket.socket, seconds: float) -> bool:
    """Tell whether the client hangs up within a time. (It sends nothing after its request.)"""
    return ready.to_read(client.fileno(), seconds)
