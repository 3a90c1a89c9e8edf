"""Whether the plugin starts from its image on this node. Side effects: runs the plugin, and a file beside the bundle.

The image maps memory at fixed addresses, which a kernel or a security module may refuse in ways that the launcher does
not see. So a bundle is tried before anything leads to it: an ADD both ways, with a large configuration and with probing
on, against an agent of our own. Where the two differ, the image is set aside: the launcher looks for that file.
"""

import json
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from cni.installer.node import atomic_file

IMAGE = "_internal/spiderpool.image"
PLUGIN = "spiderpool"
ASKED_FOR = "it was asked for with --no-image"
_LARGE = 1 << 20  # bytes of configuration: more than the memory that the image has left over
_UNKNOWN = "unknown: the plugin does not say"
_ANSWER_SECONDS = 5.0  # for the launcher to say how it starts
_SECONDS = 30.0  # for one ADD, from a slow disk
_ADDRESS = {
    "address": "192.0.2.10/24", "gateway": "192.0.2.1", "nic": "lo", "version": 4, "vlan": 0, "ipPool": "trial",
    "enableGatewayDetection": False, "cleanGateway": False, "mtu": 0,
}  # fmt: skip
_ANSWER: Mapping[str, object] = {"dns": {}, "routes": []}

T = TypeVar("T")


def settle(bundle: Path, *, wanted: bool, is_in_force: bool) -> None:
    """Settle how a bundle starts. One that is in force is not tried again, because it is in use. OSError."""
    if not is_in_force or wanted == (is_set_aside(bundle) == ASKED_FOR):
        choose(bundle, wanted=wanted)


def start(bundle: Path) -> str:
    """Say how a bundle starts, as its launcher tells. OSError."""
    if why := is_set_aside(bundle):
        return f"without its image: {why}"
    command = [str(bundle / PLUGIN), "--how-it-starts"]
    try:
        # S603: a file of our own bundle.
        done = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return _UNKNOWN
    said = done.stdout.decode(errors="backslashreplace").strip()
    return said if said.startswith(("from its image", "without its image: ")) else _UNKNOWN


def is_set_aside(bundle: Path) -> str:
    """Return why a bundle's image is not used; "" where it may be, or where it has none. OSError."""
    try:
        return _mark(bundle).read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""


def choose(bundle: Path, *, wanted: bool) -> str:
    """Settle how a bundle starts that is not in force yet; return why not from its image, "" where it does. OSError."""
    if not (bundle / IMAGE).exists():
        forget(bundle)
        return ""
    why = difference(bundle) if wanted else ASKED_FOR
    if why:
        atomic_file.replace(_mark(bundle), f"{why}\n".encode(), mode=0o644)
    else:
        forget(bundle)
    return why


def forget(bundle: Path) -> None:
    """Have a bundle start from its image, if it has one. OSError."""
    atomic_file.remove(_mark(bundle))


def difference(bundle: Path) -> str:
    """Return in what an ADD from the image differs from one without; "" for nothing. OSError."""
    atomic_file.replace(_mark(bundle), b"it is being tried\n", mode=0o644)
    without = _add(bundle / PLUGIN)
    forget(bundle)
    with_image = _add(bundle / PLUGIN)
    if with_image == without:
        return ""
    return f"on this node, an ADD from it {_described(*with_image)}, and one without it {_described(*without)}"


def _described(status: int | None, output: str) -> str:
    how = (
        "does not end" if status is None else f"is ended by signal {-status}" if status < 0 else f"exits with {status}"
    )
    return f"{how} ({' '.join(output.split())[:100] or 'no output'})"


def _mark(bundle: Path) -> Path:
    return bundle.with_name(f"{bundle.name}.no-image")


def _add(plugin: Path) -> tuple[int | None, str]:
    """Run an ADD; return exit status (None where it does not end), and what it printed."""

    def run(environ: Mapping[str, str], stdin: bytes) -> tuple[int | None, str]:
        try:
            # S603: a file of our own bundle.
            done = subprocess.run(  # noqa: S603
                [plugin], env=environ, input=stdin, capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return None, ""
        return done.returncode, (done.stdout + done.stderr).decode(errors="backslashreplace")

    return under(plugin, run)


def under(plugin: Path, run: Callable[[Mapping[str, str], bytes], T], size: int = _LARGE, *, probes: bool = True) -> T:
    """Return what `run` makes of the environment and stdin of an ADD, with an agent of our own there.

    `size` is that of the configuration, in bytes; `probes` is whether the agent asks for the probing of the address.
    """
    with _folder(plugin.parent.parent) as folder, _agent(Path(folder, "socket"), probes) as path:
        ipam = {"type": "spiderpool", "ipam_unix_socket_path": str(path), "log_file_path": f"{folder}/log"}
        stdin = {"cniVersion": "1.0.0", "name": "trial", "type": "trial", "ipam": ipam, "padding": "x" * size}
        environ = {
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "trial", "CNI_NETNS": "/proc/self/ns/net", "CNI_IFNAME": "lo",
            "CNI_PATH": str(plugin.parent), "CNI_ARGS": "K8S_POD_NAMESPACE=trial;K8S_POD_NAME=trial;K8S_POD_UID=trial",
        }  # fmt: skip
        return run(environ, json.dumps(stdin).encode())


def _folder(home: Path) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder for socket and log: where everybody does or, in a container without such a place, in `home`."""
    try:
        return tempfile.TemporaryDirectory()
    except FileNotFoundError:
        return tempfile.TemporaryDirectory(dir=home, prefix=".trial-")


@contextmanager
def _agent(path: Path, probes: bool) -> Iterator[Path]:
    """Answer every request on a socket with an address, until the end of the block."""
    body = json.dumps({**_ANSWER, "ips": [{**_ADDRESS, "enableIPConflictDetection": probes}]}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, suppress(OSError):
                        connection.recv(1 << 20)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(1)
