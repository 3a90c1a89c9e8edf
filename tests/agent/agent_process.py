"""Runs a real agent in a process of its own, and talks to it over its socket, for the tests of cni/agent."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Answer(NamedTuple):
    """A response: the status, the headers with lower-case names, the body as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        if self.headers.get("transfer-encoding") == "chunked":
            size, _, rest = self.body.partition(b"\r\n")
            return json.loads(rest[: int(size, 16)])
        return json.loads(self.body)


def pool(name: str, *ips: str, subnet: str = "10.244.0.0/16", **spec: Any) -> dict[str, Any]:
    """Make a manifest."""
    return {
        "apiVersion": "spiderpool.spidernet.io/v2beta1",
        "kind": "SpiderIPPool",
        "metadata": {"name": name},
        "spec": {"subnet": subnet, "ips": list(ips), **spec},
    }


def write_pools(file: Path, *manifests: dict[str, Any]) -> Path:
    """Write manifests into one file; JSON is YAML."""
    file.write_text("\n---\n".join(json.dumps(manifest) for manifest in manifests))
    return file


def add_args(uid: str, container: str = "", ifname: str = "eth0", network: str = "net", **more: Any) -> dict[str, Any]:
    """Make the body of an ADD, which DEL takes as well; the container ID is made from the pod's UID."""
    return {
        "containerID": container or f"c-{uid}",
        "ifName": ifname,
        "netNamespace": "/var/run/netns/x",
        "podNamespace": "default",
        "podName": f"pod-{uid}",
        "podUID": uid,
        "network": network,
        **more,
    }


class Agent(NamedTuple):
    """A running agent."""

    process: subprocess.Popen[str]
    socket_path: Path
    first_line: str

    def exchange(self, request: bytes) -> bytes:
        """Send bytes on a new connection and return all that comes back."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(30)
            connection.connect(str(self.socket_path))
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request as upstream's Go plugin does it."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Host": "", "Connection": "close", "Content-Length": str(len(content))}
        if body is not None:
            lines["Content-Type"] = "application/json"
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value or name == "Host")
        return _parsed(self.exchange(f"{method} /v1{path} HTTP/1.1\r\n{head}\r\n".encode() + content))

    def add(self, args: dict[str, Any]) -> Answer:
        return self.ask("POST", "/ipam/ip", args)

    def delete(self, args: dict[str, Any]) -> Answer:
        return self.ask("DELETE", "/ipam/ip", args)

    def allocations(self) -> list[dict[str, Any]]:
        return list(self.ask("GET", "/ipam/allocations").json()["allocations"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def _parsed(response: bytes) -> Answer:
    head, _, body = response.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status.split()[1]), headers, body)


def start(socket_path: Path, pools: Path, state: Path) -> "subprocess.Popen[str]":
    """Start an agent; what it logs goes to a file beside the state."""
    command = [sys.executable, "-m", "cni.cli", "agent", "--socket", socket_path, "--pool", pools, "--state", state]
    with Path(f"{state}.log").open("a") as log:
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)


@contextmanager
def running_agent(folder: Path, pools: Path, state: str = "state", name: str = "agent.sock") -> Iterator[Agent]:
    """Run an agent in a folder until the block ends, by its SIGTERM unless the test has ended it."""
    with start(folder / name, pools, folder / state) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, (folder / f"{state}.log").read_text()
            yield Agent(process, folder / name, line)
        finally:
            process.terminate()
