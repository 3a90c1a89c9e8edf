"""The links: a LAN of a router and nodes, and pings. The router is the sandbox's own network namespace.

router eth1 (a bridge) 172.16.13.1/24 fd00:16::1/64
   |                          |
node1 eth0 .11 ::11        node2 eth0 .21 ::21      default routes to the router
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.lab.processes import environment, run

ROUTER = {4: "172.16.13.1", 6: "fd00:16::1"}
ROUTER_LINK = "eth1"
_LENGTH = {4: 24, 6: 64}
_SWITCHES = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")


def open_router() -> None:
    """Make the LAN and the router's addresses."""
    _ip(
        "link set lo up",
        f"link add {ROUTER_LINK} type bridge",
        f"link set {ROUTER_LINK} up",
        *(f"address add {ROUTER[family]}/{_LENGTH[family]} dev {ROUTER_LINK}{_nodad(family)}" for family in (4, 6)),
    )
    for name in _SWITCHES:
        (Path("/proc/sys/net") / name).write_text("1")


def join(name: str, pid: int, addresses: dict[int, str]) -> None:
    """Give a node's namespace, which a process is in, its eth0 on the LAN, and default routes to the router."""
    _ip(
        f"link add {name} type veth peer name eth0 netns {pid}",
        f"link set {name} master {ROUTER_LINK} up",
    )
    _ip(
        "link set lo up",
        "link set eth0 up",
        *(f"address add {address}/{_LENGTH[f]} dev eth0{_nodad(f)}" for f, address in addresses.items()),
        *(f"route add default via {ROUTER[family]}" for family in addresses),
        before=inside(pid),
    )
    for switch in _SWITCHES:
        run(*inside(pid), "sysctl", "-qw", f"net.{switch.replace('/', '.')}=1")


def inside(pid: int) -> list[str]:
    """Return the command line that runs the one behind it in the network and mount namespace of a process."""
    return ["nsenter", f"--target={pid}", "--net", "--mount"]


class Ping(NamedTuple):
    """Who pings whom."""

    name: str
    before: list[str]  # the command line that runs the one behind it there
    address: str


def lost(pings: list[Ping]) -> list[Ping]:
    """Ping all at the same time, twice each; return those that had no answer."""
    with ThreadPoolExecutor(10) as workers:
        return [ping for ping, is_lost in zip(pings, workers.map(_is_lost, pings), strict=True) if is_lost]


def _is_lost(ping: Ping) -> bool:
    """Tell whether none of two pings was answered. The first may be late, because neighbours are looked up for it."""
    command = [*ping.before, "ping", "-n", "-q", "-c2", "-i0.2", "-W2", ping.address]
    return subprocess.run(command, env=environment(), capture_output=True, timeout=30).returncode != 0


def _ip(*lines: str, before: list[str] | None = None) -> None:
    run(*(before or []), "ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def _nodad(family: int) -> str:
    return " nodad" if family == 6 else ""
