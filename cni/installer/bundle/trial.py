"""Whether the plugin starts from its image on this node. Side effects: runs the plugin, and files beside the bundle.

The image maps memory at fixed addresses, which a kernel or a security module may refuse in ways that the launcher does
not see. So a bundle is tried before anything leads to it: an ADD both ways, with a large configuration and with probing
on, against an agent of our own. Where the two differ, the image is set aside: the launcher looks for that file.

    <bin>/.spiderpool/.trial-*/socket, log         of that agent and of these ADDs
    <bin>/.spiderpool/.trial-*/imaged, plain       two bundles with the files of the one that is tried
    <bin>/.spiderpool/.trial-*/plain.no-image      has the second one start without its image

So the bundle itself does not change until its trial has ended, and a trial that was killed is made again. What it has
left there, the next run removes. Nothing is pending after it: see `add`.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cni.installer.bundle.self_test import ask
from cni.installer.bundle.sums import never
from cni.installer.node import atomic_file
from cni.installer.node.os_errors import one_line

IMAGE = "_internal/spiderpool.image"
PLUGIN = "spiderpool"
ASKED_FOR = "it was asked for with --no-image"
UNTRIED = "it could not be tried: "  # so the next install tries it
_FOLDER = ".trial-"
_LARGE = 1 << 20  # bytes of configuration: more than the memory that the image has left over
_UNKNOWN = "unknown: the plugin does not say"
_ANSWER_SECONDS = 5.0  # for the launcher to say how it starts, and for the plugin in force to answer VERSION
_SECONDS = 10.0  # for one ADD, from a slow disk; watch may make five, and its unit has WatchdogSec=60
_ADDRESS = {
    "address": "192.0.2.10/24", "gateway": "192.0.2.1", "nic": "lo", "version": 4, "vlan": 0, "ipPool": "trial",
    "enableGatewayDetection": False, "cleanGateway": False, "mtu": 0,
}  # fmt: skip
_ANSWER: Mapping[str, object] = {"dns": {}, "routes": []}


class Call(NamedTuple):
    """A call of the plugin: what it gets, and the folder that it has to run in."""

    environ: Mapping[str, str]
    stdin: bytes
    folder: Path


class Ended(NamedTuple):
    """How a call has ended."""

    status: int | None  # None: it did not end
    output: str


def settle(bundle: Path, *, wanted: bool, is_in_force: bool) -> None:
    """Settle how a bundle starts, so that it answers where only its image does not work on this node. OSError.

    One that is in force and answers is not tried again, because it is in use.
    """
    for left in bundle.parent.glob(f"{_FOLDER}*"):
        shutil.rmtree(left, ignore_errors=True)
    why = is_set_aside(bundle)
    is_settled = why != ASKED_FOR and not why.startswith(UNTRIED) if wanted else why == ASKED_FOR
    if not (is_in_force and is_settled) or ask(bundle / PLUGIN, _ANSWER_SECONDS, never):
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
    why = fault(bundle) if wanted else ASKED_FOR
    if why:
        atomic_file.replace(_mark(bundle), f"{why}\n".encode(), mode=0o644)
    else:
        forget(bundle)
    return why


def forget(bundle: Path) -> None:
    """Have a bundle start from its image, if it has one. OSError."""
    atomic_file.remove(_mark(bundle))


def fault(bundle: Path) -> str:
    """Return why a bundle cannot start from its image on this node, on one line; "" where it can."""
    try:
        with tempfile.TemporaryDirectory(dir=bundle.parent, prefix=_FOLDER, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            _mark(folder / "plain").touch()
            return _difference(folder, _linked(bundle, folder / "plain"), _linked(bundle, folder / "imaged"))
    except OSError as error:
        return UNTRIED + one_line(error)


def _difference(folder: Path, plain: Path, imaged: Path) -> str:
    """Return in what an ADD from the image differs from one without; "" for nothing.

    Only two that differ twice count, because the node may be busy, or its disk slow. Where an ADD with probing fails
    without the image, no other is made with it: that takes a right which, say, a container may not have.
    """
    probes = _run(plain, folder, probes=True).status in (0, None)
    for _ in range(2):
        without, with_image = (_run(plugin, folder, probes=probes) for plugin in (plain, imaged))
        if without.status != 0:
            return "" if with_image.status == 0 else f"{UNTRIED}on this node, an ADD without it {_described(without)}"
        if with_image == without:
            return ""
    return f"on this node, an ADD from it {_described(with_image)}, and one without it {_described(without)}"


def _described(ended: Ended) -> str:
    status = ended.status
    how = (
        "does not end" if status is None else f"is ended by signal {-status}" if status < 0 else f"exits with {status}"
    )
    return f"{how} ({' '.join(ended.output.split())[:100] or 'no output'})"


def _mark(bundle: Path) -> Path:
    return bundle.with_name(f"{bundle.name}.no-image")


def _linked(bundle: Path, folder: Path) -> Path:
    """Make a bundle of another's files; return its plugin, whose launcher goes by where it is called."""
    folder.mkdir()
    (folder / "_internal").symlink_to(bundle.resolve() / "_internal")
    os.link(bundle / PLUGIN, folder / PLUGIN)
    return folder / PLUGIN


def _run(plugin: Path, folder: Path, *, probes: bool) -> Ended:
    with add(plugin, folder, probes=probes) as call:
        try:
            # S603: a file of our own bundle.
            done = subprocess.run(  # noqa: S603
                [plugin.absolute()], env=call.environ, input=call.stdin, cwd=call.folder,
                capture_output=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Ended(None, "")
    return Ended(done.returncode, (done.stdout + done.stderr).decode(errors="backslashreplace"))


@contextmanager
def add(plugin: Path, folder: Path, size: int = _LARGE, *, probes: bool = True) -> Iterator[Call]:
    """Give an ADD, and until the end of the block an agent of our own, whose socket is in the folder.

    `size` is that of the configuration, in bytes; `probes` is whether the agent asks for the probing of the address.
    The socket has a name that only a process in that folder can use: it is short, wherever the folder is, and the
    plugin writes no release down for it, which nobody could send (cni/plugin/recovery.py). So whoever is killed, when
    the agent is gone that was asked, nothing stays pending.
    """
    with _agent(folder, probes):
        ipam = {"type": "spiderpool", "ipam_unix_socket_path": "/proc/self/cwd/socket", "log_file_path": "log"}
        stdin = {"cniVersion": "1.0.0", "name": "trial", "type": "trial", "ipam": ipam, "padding": "x" * size}
        environ = {
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "trial", "CNI_NETNS": "/proc/self/ns/net", "CNI_IFNAME": "lo",
            "CNI_PATH": str(plugin.parent), "CNI_ARGS": "K8S_POD_NAMESPACE=trial;K8S_POD_NAME=trial;K8S_POD_UID=trial",
        }  # fmt: skip
        yield Call(environ, json.dumps(stdin).encode(), folder)


@contextmanager
def _agent(folder: Path, probes: bool) -> Iterator[None]:
    """Answer every request on the folder's socket with an address, until the end of the block."""
    body = json.dumps({**_ANSWER, "ips": [{**_ADDRESS, "enableIPConflictDetection": probes}]}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.socket(socket.AF_UNIX) as listener:
        _bind(listener, folder)
        listener.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, suppress(OSError):
                        connection.recv(1 << 20)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(1)


def _bind(listener: socket.socket, folder: Path) -> None:
    """Bind to the folder's socket by a short name: the kernel takes 107 bytes."""
    (folder / "socket").unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{descriptor}/socket")
    finally:
        os.close(descriptor)
