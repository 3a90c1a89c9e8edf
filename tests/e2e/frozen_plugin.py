"""The frozen plugin with a folder of its own for state, log and socket, and an agent that answers as a test says."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import requirements
from tests.own_state import with_own_state

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FAILURE = b'HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\n"oops"'
# A result that fills a pipe, which holds 64 KiB.
LARGE = {
    "ips": [{"version": 4, "address": "10.244.100.10/16", "nic": "eth0"}],
    "routes": [{"ifName": "eth0", "dst": f"10.{n // 256}.{n % 256}.0/24", "gw": "10.244.0.1"} for n in range(3000)],
}
SMALL = {"ips": LARGE["ips"]}


def found(body: dict[str, Any]) -> bytes:
    """Return the answer to an ADD."""
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


class FrozenPlugin:
    """Starts calls of the frozen plugin; what they leave behind is in `folder`."""

    def __init__(self, folder: Path) -> None:
        requirements.need_root()
        requirements.need_program("unshare")
        self.program = requirements.need_frozen("spiderpool")
        self.folder = folder
        self.socket = folder / "agent.sock"
        self.log = folder / "log"
        self.state = folder / "plugin-state"
        self.state.mkdir()

    def start(self, command: str, *before: str | Path, container: str = "c1", **options: Any) -> subprocess.Popen[str]:
        """Start a call. `before` is a command line that runs the one behind it; options are Popen's."""
        ipam = {"ipam_unix_socket_path": str(self.socket), "log_file_path": str(self.log)}
        (self.folder / "stdin").write_text(json.dumps({"cniVersion": "1.1.0", "name": "net", "ipam": ipam}))
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": "/n",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/",
            "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-1;K8S_POD_UID=u1",
        }
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with (self.folder / "stdin").open() as stdin:
            command_line = with_own_state(self.state, *before, self.program)
            return subprocess.Popen(command_line, env=environ, stdin=stdin, text=True, **streams)

    def call(self, command: str, *before: str | Path, **options: Any) -> tuple[int, dict[str, Any]]:
        """Run a call to its end; return exit status and what it printed, {} for nothing."""
        with self.start(command, *before, **options) as process:
            stdout, stderr = process.communicate(timeout=60)
        assert before or not stderr, stderr
        return process.returncode, json.loads(stdout or "{}")

    def pending(self) -> list[bytes]:
        """Return the contents of the pending releases' files."""
        return [path.read_bytes() for path in (self.state / "pending").glob("*.release")]

    def logged(self) -> dict[str, Any]:
        """Return the last line of the log."""
        line: dict[str, Any] = json.loads(self.log.read_text().splitlines()[-1])
        return line


class Heard:
    """The methods of the requests that an agent got."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.first = threading.Event()


@contextmanager
def agent(plugin: FrozenPlugin, answers: Callable[[str], bytes | None]) -> Iterator[Heard]:
    """Serve the answer that `answers` has for a request's method; None: never answer, until the caller hangs up."""
    heard = Heard()

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the caller may have been killed
            method = connection.recv(65536).split(b" ")[0].decode()
            heard.requests.append(method)
            heard.first.set()
            answer = answers(method)
            if answer is None:
                connection.recv(1)
            else:
                connection.sendall(answer)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,)).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(plugin.socket))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
