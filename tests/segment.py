"""An Ethernet segment to probe on: a bridge in a network namespace, and machines, each a namespace of its own."""

import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import netns

from tests import requirements
from tests.waiting import SLACK


def ip(namespace: str, command: str) -> str:
    """Run `ip` in a namespace.

    pyroute2 would fork this process for that, and hang where another thread of it holds a lock meanwhile.
    """
    return _run("ip", "-n", namespace, *command.split())


def add_namespace(name: str) -> None:
    _run("ip", "netns", "add", name)


def remove_namespace(name: str) -> None:
    _run("ip", "netns", "delete", name)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Segment:
    """A bridge, br0, and the machines on it."""

    def __init__(self) -> None:
        self.name = f"seg-{uuid.uuid4().hex[:8]}"
        self.machines: list[str] = []

    def open(self) -> None:
        add_namespace(self.name)
        ip(self.name, "link add br0 type bridge")
        ip(self.name, "link set br0 up")

    def close(self) -> None:
        for name in [*self.machines, self.name]:
            remove_namespace(name)

    def add(self) -> str:
        """Make a machine that is not on the bridge; return its namespace's name."""
        name = f"{self.name}-{len(self.machines)}"
        add_namespace(name)
        self.machines.append(name)
        return name

    def join(self, *addresses: str, ifname: str = "eth0", up: bool = True) -> str:
        """Make a machine that has the addresses on a link to the bridge; return its namespace's name."""
        name = self.add()
        port = f"port{len(self.machines)}"
        ip(self.name, f"link add {port} type veth peer name {ifname} netns {name}")
        ip(self.name, f"link set {port} master br0 up")
        for address in addresses:
            ip(name, f"address add {address} dev {ifname}" + " nodad" * (":" in address))
        if up:
            ip(name, f"link set {ifname} up")
        return name


def path(namespace: str) -> str:
    """Return the path of a namespace, as in CNI_NETNS."""
    return f"/var/run/netns/{namespace}"


def mac(namespace: str, ifname: str = "eth0") -> str:
    """Return a link's Ethernet address."""
    words = ip(namespace, f"-o link show dev {ifname}").split()
    return words[words.index("link/ether") + 1]


def packet_socket(namespace: str, ethertype: int, ifname: str = "eth0") -> socket.socket:
    """Open a socket for whole frames in a namespace. A thread enters the namespace, so that the test does not."""
    opened: list[socket.socket] = []

    def enter() -> None:
        descriptor = os.open(path(namespace), os.O_RDONLY)
        try:
            netns.setns(descriptor)
        finally:
            os.close(descriptor)
        opened.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        opened[0].bind((ifname, ethertype))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    opened[0].settimeout(10 + SLACK)
    return opened[0]


@contextmanager
def segment() -> Iterator[Segment]:
    """Give the test a segment; skip it where that is not possible."""
    requirements.need_root()
    requirements.need_program("ip")
    made = Segment()
    made.open()
    try:
        yield made
    finally:
        made.close()
