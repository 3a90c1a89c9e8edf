"""Calls of the plugin, all with the same socket and log, so that what two of them answer can be compared as it is."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.e2e.scripted_agent import Request, response, scripted_agent
from tests.image.bundles import TIME_LIMIT

ADDRESS = {"version": 4, "address": "10.244.100.10/16", "nic": "eth0"}
FOUND = response(200, json.dumps({"ips": [ADDRESS]}).encode())


class Answer(NamedTuple):
    """All that a caller and an agent see of a call."""

    status: int
    stdout: bytes
    stderr: bytes
    requests: list[Request]


class Calls:
    """Calls beside an agent that gives every pod the same address."""

    def __init__(self, folder: Path, heard: list[Request]) -> None:
        self.folder = folder
        self.heard = heard
        self.ipam = {"ipam_unix_socket_path": str(folder / "agent.sock"), "log_file_path": str(folder / "log")}

    def stdin(self, **more: object) -> bytes:
        """Return a network configuration."""
        return json.dumps({"cniVersion": "1.1.0", "name": "net", "ipam": self.ipam, **more}).encode()

    def environment(self, command: str) -> dict[str, str]:
        """Return what a runtime sets."""
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": "/n",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/",
            "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-1;K8S_POD_UID=u1",
        }

    def start(
        self, program: str | Path, *before: str | Path, command: str = "ADD", stdin: bytes | int = b"", **options: Any
    ) -> "subprocess.Popen[bytes]":
        """Start a call. `stdin` is what it reads or a descriptor; `before` runs the command line behind it.

        Options are Popen's.
        """
        document = os.fdopen(os.dup(stdin), "rb") if isinstance(stdin, int) else self._file(stdin or self.stdin())
        streams = {"env": self.environment(command), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with document:
            return subprocess.Popen([*before, program], **{**streams, "stdin": document, **options})

    def call(self, program: str | Path, *before: str | Path, **options: Any) -> Answer:
        """Run a call to its end; options are those of `start`. (No other call may run at the same time.)"""
        earlier = len(self.heard)
        with self.start(program, *before, **options) as process:
            try:
                stdout, stderr = process.communicate(timeout=TIME_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        printed, said = (_without_names(text or b"", program) for text in (stdout, stderr))
        return Answer(process.returncode, printed, said, self.heard[earlier:])

    def _file(self, contents: bytes) -> IO[bytes]:
        """Return a file to read from, because a pipe holds no large document."""
        path = self.folder / f"stdin-{len(contents)}"
        if not path.exists() or path.read_bytes() != contents:
            path.write_bytes(contents)
        return path.open("rb")


def _without_names(text: bytes, program: str | Path) -> bytes:
    """Remove what differs between two copies of the bundle: their folders, numbers of processes and addresses."""
    return re.sub(rb"PYI-\d+|0x[0-9a-f]+", b"", text.replace(bytes(Path(program).parent), b"BUNDLE"))


def shell(script: str) -> Sequence[str]:
    """Return the command line that runs a shell script, and then the command line behind it."""
    return ["/bin/bash", "-c", f'{script}; exec "$@"', "bash"]


@contextmanager
def calls_in(folder: Path, found: bytes = FOUND) -> Iterator[Calls]:
    """Serve an agent's socket in a folder until the block ends."""
    answers: Mapping[str, bytes] = {"POST": found}
    with scripted_agent(folder / "agent.sock", lambda request: answers.get(request.method, response(200))) as heard:
        yield Calls(folder, heard)
