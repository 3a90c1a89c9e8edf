"""A node's BIRD for each family in a network namespace, and all peers that it may have, in another beside it.

`python -m tests.doctor.bgp_peers FOLDER` runs as the first process of a network and a PID namespace, so that all of it
ends with its stdin. Each line there is the list of peers that BIRD is to have a session with. A peer answers whoever
connects to it, and connects itself, because BIRD waits before it does. eBGP peers announce some routes.
"""

import asyncio
import contextlib
import ipaddress
import json
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import LAB_TOOLS

NODE = {4: "172.16.13.11", 6: "fd00:16::11"}
# BIRD keeps the port that it has listened on first, whatever it is told later: one of these.
PORTS = (179, 1790, 1791)
_HOSTS = (1, 2, 3, 12, 13, 14)  # of the peers: routers and other nodes
_INTERFACES = ("cali0a1b2c3d4e5", "calif5e4d3c2b1a", "tunl0", "vxlan.calico", "wireguard.cali", "bpfin.cali")
# Pods' routes, with the metric of Calico's CNI plugin and that of Felix; other nodes' blocks; Felix' own routes.
ROUTES = (
    *(f"10.244.100.{one}/32 dev cali0a1b2c3d4e5 scope link" for one in (1, 2, 63, 64, 129, 200)),
    "10.244.100.3/32 dev calif5e4d3c2b1a scope link metric 1024",
    "10.244.2.5/32 dev calif5e4d3c2b1a scope link",
    "192.0.2.7/32 dev calif5e4d3c2b1a scope link",
    "10.244.100.192/28 via {gateway} dev eth0 proto 80",
    "10.244.100.9/32 dev bpfin.cali scope link",
    "10.244.101.0/26 dev vxlan.calico scope link proto 80",
    "10.244.101.64/26 dev tunl0 scope link proto 80",
    "10.244.100.10/32 dev wireguard.cali scope link",
    "blackhole 10.244.101.128/26 proto 80",
)
_ADDRESSES = ("10.244.100.66/32 dev tunl0", "10.244.100.67/32 dev vxlan.calico", "10.244.100.68/32 dev wireguard.cali")


@dataclass(frozen=True)
class Peer:
    """A peer of BIRD's, where BIRD expects it."""

    address: str
    port: int
    as_number: int
    is_internal: bool


def six(text: str) -> str:
    """Return the IPv6 form of an IPv4 address or network of this module, within a longer text."""
    return " ".join(_six(word) if word[0].isdigit() and "." in word else word for word in text.split())


def _six(text: str) -> str:
    address, _, length = text.partition("/")
    _, second, third, fourth = address.split(".")
    if length == "0":
        return "::/0"
    bits = {"": "", "8": "/16", "16": "/32"}.get(length) or f"/{96 + int(length)}" if length else ""
    return f"{ipaddress.IPv6Address(f'fd00:{second}:{third}::{int(fourth):x}')}{bits}"


def announced(peer: Peer) -> list[str]:
    """Return what a peer announces: an address beside the pods', a block, and a range of its own."""
    host = peer.address.replace(":", ".").rpartition(".")[2]
    found = [f"10.244.100.{240 + int(host)}/32", f"10.244.{host}.0/26", f"172.30.{host}.0/24"]
    return [] if peer.is_internal else [six(one) for one in found] if ":" in peer.address else found


def _message(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def _open(peer: Peer) -> bytes:
    """Say who the peer is; a hold time of 0 needs no keepalives."""
    family = 2 if ":" in peer.address else 1
    able = struct.pack("!BBHBB", 1, 4, family, 0, 1) + struct.pack("!BBI", 65, 4, peer.as_number)
    router_id = b"\x0a\xff" + ipaddress.ip_address(peer.address).packed[-2:]
    two_bytes = peer.as_number if peer.as_number < 1 << 16 else 23456
    return _message(1, struct.pack("!BHH4sBBB", 4, two_bytes, 0, router_id, len(able) + 2, 2, len(able)) + able)


def _update(peer: Peer, prefix: str) -> bytes:
    network = ipaddress.ip_network(prefix)
    reachable = bytes([network.prefixlen]) + network.network_address.packed[: (network.prefixlen + 7) // 8]
    path = b"\x40\x01\x01\x00" + b"\x40\x02\x06\x02\x01" + struct.pack("!I", peer.as_number)
    own = ipaddress.ip_address(peer.address).packed
    if network.version == 4:
        path += b"\x40\x03\x04" + own
        return _message(2, struct.pack("!HH", 0, len(path)) + path + reachable)
    more = b"\x00\x02\x01\x10" + own + b"\x00" + reachable
    path += struct.pack("!BBB", 0x80, 14, len(more)) + more
    return _message(2, struct.pack("!HH", 0, len(path)) + path)


class Peers:
    """All peers. BIRD closes the connections of those that it is not to have any more."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, int], Peer] = {}
        self._busy: set[Peer] = set()
        self._ports: set[int] = set()
        self._tasks: dict[Peer, asyncio.Task[None]] = {}

    async def tell(self, peers: list[Peer]) -> None:
        """Have these peers, and no others."""
        self.told = {(peer.address, peer.port): peer for peer in peers}
        for port in {peer.port for peer in peers} - self._ports:
            self._ports.add(port)
            await asyncio.start_server(self._accept, None, port)

    async def connect(self) -> None:
        """Connect those that have no session, again and again. BIRD cannot tell two peers of one address apart."""
        while True:
            addresses = [peer.address for peer in self.told.values()]
            for peer in self.told.values():
                if peer not in self._busy and addresses.count(peer.address) == 1:
                    self._tasks[peer] = asyncio.create_task(self._connect(peer))
            await asyncio.sleep(0.1)

    async def _connect(self, peer: Peer) -> None:
        self._busy.add(peer)
        for port in PORTS:
            opening = asyncio.open_connection(NODE[6 if ":" in peer.address else 4], port, local_addr=(peer.address, 0))
            with contextlib.suppress(OSError, TimeoutError):
                await self._talk(peer, *await asyncio.wait_for(opening, 1))
        self._busy.discard(peer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to BIRD where it connects; over two connections with one peer, it would have to give up one."""
        address, port = writer.get_extra_info("sockname")[:2]
        peer = self.told.get((address.removeprefix("::ffff:"), port))
        if peer and peer not in self._busy:
            self._busy.add(peer)
            await self._talk(peer, reader, writer)
            self._busy.discard(peer)
        writer.close()

    async def _talk(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_up = False
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(_open(peer))
            while True:
                length, kind = struct.unpack("!16xHB", await reader.readexactly(19))
                await reader.readexactly(length - 19)
                if kind == 1:
                    writer.write(_message(4))
                elif kind == 3:
                    break
                elif kind == 4 and not is_up:
                    is_up = True
                    writer.writelines(_update(peer, prefix) for prefix in announced(peer))
        writer.close()


def _lines(family: int) -> list[str]:
    """Return the commands for `ip` that give the node its addresses and routes of a family."""
    addresses, routes = list(_ADDRESSES), [one.format(gateway="172.16.13.12") for one in ROUTES]
    if family == 6:
        addresses = [six(one) for one in addresses]
        routes = [six(one.replace("172.16.13.12", "")).replace("via", "via fd00:16::12") for one in routes]
    length = 24 if family == 4 else 64
    return [
        f"address add {NODE[family]}/{length} dev eth0 {'nodad' if family == 6 else ''}",
        *(f"address add {one}" for one in addresses),
        *(f"route add {one}" for one in routes),
    ]


def _up(end: int, names: Iterable[str]) -> Iterator[str]:
    """Yield the commands for `ip` that set one end of each link up.

    A link-local address of the kernel's own is tentative for a second, and BIRD loses its neighbours when that is over.
    """
    for place, name in enumerate(names):
        yield f"link set {name} addrgenmode none up"
        yield f"address add fe80::{end}:{place + 1}/64 dev {name} nodad"


def _ip(lines: list[str], *inside: str) -> None:
    # tunl0 may be there already: the kernel makes it in each namespace once its module is loaded.
    text = "\n".join(lines) + "\n"
    subprocess.run([*inside, "ip", "-force", "-batch", "-"], input=text, text=True, timeout=20, stdout=sys.stderr)


def _connect_node(node: int) -> list[str]:
    """Make the network of the node, whose namespace this process has, and return the words that run something in it."""
    inside = ["nsenter", f"--net=/proc/{node}/ns/net"]
    pairs = [("peers", "eth0"), *((f"end{place}", name) for place, name in enumerate(_INTERFACES))]
    _ip(
        [
            "link set lo up",
            *(f"link add {name} type veth peer name {other} netns {node}" for name, other in pairs),
            *_up(1, (name for name, _ in pairs)),
            *(f"address add 172.16.13.{host}/24 dev peers" for host in _HOSTS),
            *(f"address add fd00:16::{host}/64 dev peers nodad" for host in _HOSTS),
        ]
    )
    _ip(["link set lo up", *_up(2, (name for _, name in pairs)), *_lines(4), *_lines(6)], *inside)
    return inside


async def main(folder: Path) -> None:
    """Run until stdin ends."""
    command = ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as node:
        assert node.stdout
        node.stdout.readline()
        inside = _connect_node(node.pid)
        for name in ("bird", "bird6"):
            program = LAB_TOOLS / "bird/usr/sbin" / name
            options = f"-f -c {folder}/config/{name}.cfg -s {folder}/{name}.ctl".split()
            subprocess.Popen([*inside, str(program), *options], stdout=sys.stderr)
        peers = Peers()
        connecting = asyncio.create_task(peers.connect())
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await peers.tell([Peer(**one) for one in json.loads(line)])
            print("told", flush=True)
        connecting.cancel()
        node.kill()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
