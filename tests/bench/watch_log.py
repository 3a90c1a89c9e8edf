"""Measures what watch takes of a core while the plugin logs 1,000 calls a second, and while it logs none.

`make bench` has it among its limits; `python -m tests.bench.watch_log` measures it alone.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests import requirements
from tests.installer.sample_node import Node
from tests.waiting import wait_for

MOST, MOST_IDLE = 0.05, 0.01  # of one core
RATE, SECONDS = 1000, 20
_STEP = 0.01  # seconds between two bursts of lines
_LINE = {
    "time": "2026-01-02T03:04:05.678Z",
    "level": "info",
    "command": "ADD",
    "network": "k8s-pod-network",
    "containerID": 64 * "a",
    "ifname": "eth0",
    "podNamespace": "default",
    "podName": "spiderpool-deploy-6d5f7c8b9d-x2x7k",
    "podUID": "7d4c0c1e-6b1f-4d0e-9c56-0d6b8f1f8f0a",
    "outcome": "ok",
    "code": 0,
    "addresses": ["10.244.100.10/32", "fd00:244::a/128"],
    "ms": 3,
    "agent_ms": 1,
}


def measure(parent: Path) -> list[tuple[str, float, float]]:
    """Return title, limit and measured value of each figure."""
    node = Node(parent / "watched-node")
    node.install()
    folder = node.root / "var/log/spidernet"
    folder.mkdir(parents=True)
    with _watching(node) as (process, port), (folder / "spiderpool.log").open("ab", buffering=0) as log:
        wait_for(lambda: 'log_unread{reason="not_looked"} 0.0' in _metrics(port), "watch to look for the log")
        idle = _share(process.pid, lambda: time.sleep(SECONDS))
        busy = _share(process.pid, lambda: _write(log.fileno()))
        wait_for(lambda: _counted(port) == RATE * SECONDS, "watch to count all lines")
    return [
        (f"watch, {RATE:,} calls a second in the log, share of a core", MOST, busy),
        ("watch, no calls, share of a core", MOST_IDLE, idle),
    ]


@contextmanager
def _watching(node: Node) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = node.command("watch", "--metrics-addr", f"127.0.0.1:{port}")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process, port
        finally:
            process.terminate()


def _metrics(port: int) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            text: str = answer.read().decode()
    except URLError:  # not served yet
        return ""
    return text


def _counted(port: int) -> int:
    found = re.search(r'^spiderpool_ipam_calls_total{code="0",command="ADD"} (\S+)$', _metrics(port), re.MULTILINE)
    return int(float(found[1])) if found else 0


def _share(process: int, work: Callable[[], None]) -> float:
    started, before = time.monotonic(), _cpu_seconds(process)
    work()
    return (_cpu_seconds(process) - before) / (time.monotonic() - started)


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _write(log: int) -> None:
    """Write each line as the plugin does: by a write of its own."""
    line = json.dumps(_LINE, separators=(",", ":")).encode() + b"\n"
    started, written = time.monotonic(), 0
    while written < RATE * SECONDS:
        for _ in range(min(int((time.monotonic() - started) * RATE), RATE * SECONDS) - written):
            os.write(log, line)
            written += 1
        time.sleep(_STEP)


def main() -> None:
    """Print the figures; the exit status is 1 when a limit is exceeded."""
    requirements.need_frozen("spiderpool-ipam")
    with tempfile.TemporaryDirectory(prefix="spiderpool-bench.") as folder:
        rows = measure(Path(folder))
    for title, limit, measured in rows:
        print(f"{title}: {measured:.4f} (at most {limit})")
    sys.exit(0 if all(measured <= limit for _, limit, measured in rows) else 1)


if __name__ == "__main__":
    main()
