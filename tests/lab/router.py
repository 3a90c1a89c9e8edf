"""The BGP router: FRR's zebra and bgpd in the sandbox's own network namespace, told by vtysh what the guide says."""

import json
import shutil
from ipaddress import ip_network
from typing import Any, NamedTuple

from tests.lab import programs
from tests.lab.network import ROUTER
from tests.lab.processes import FOLDER, LabError, Word, run, start, wait_until

AS = 23000
SOCKET_FOLDER = FOLDER / "router"
HISTORY = {"VTYSH_HISTFILE": "/dev/null"}  # vtysh keeps what is typed in the home of the user, whatever HOME says
_USER = "frr"
_SOCKETS = ["--vty_socket", str(SOCKET_FOLDER)]


class Session(NamedTuple):
    """A BGP session as the router sees it."""

    neighbour: str
    state: str
    peer_state: str  # "OK", or "Policy" where ebgp-requires-policy keeps all routes out
    prefixes: int


def open_daemons() -> None:
    """Start zebra, then bgpd. They have no configuration yet."""
    SOCKET_FOLDER.mkdir()
    shutil.chown(SOCKET_FOLDER, _USER, _USER)  # FRR's programs give up root's rights for those of their package's user
    zserv = SOCKET_FOLDER / "zserv.api"
    for program in (programs.ZEBRA, programs.BGPD):
        name = program.name
        (SOCKET_FOLDER / f"{name}.conf").touch()
        files: list[Word] = [
            "-f",
            SOCKET_FOLDER / f"{name}.conf",
            "-i",
            SOCKET_FOLDER / f"{name}.pid",
            "-z",
            zserv,
            *_SOCKETS,
        ]
        start(program, *files, "-A", "127.0.0.1", log=FOLDER / f"logs/{name}.log")
        wait_until((SOCKET_FOLDER / f"{name}.vty").exists, f"the socket of {name}", 5)


def type_in(*lines: str) -> str:
    """Have vtysh do these lines in its configuration mode."""
    return show("configure terminal", *lines)


def show(*lines: str) -> str:
    """Return what vtysh says to these lines."""
    words = [word for line in lines for word in ("-c", line)]
    said = run("vtysh", "--vty_socket", SOCKET_FOLDER, *words, environ=HISTORY)
    if "% " in said:
        raise LabError(f"vtysh refused {lines!r}: {said.strip()[-200:]}")
    return said


def guide_lines(nodes: list[dict[int, str]], as_number: int) -> list[str]:
    """Return the guide's lines for these nodes, and the same for IPv6."""
    both = [address for node in nodes for address in node.values()]
    return [
        f"router bgp {AS}",
        f"bgp router-id {ROUTER[4]}",
        "no bgp ebgp-requires-policy",
        # BGP as such gives IPv4 to every neighbour, also to those that are reached by IPv6.
        "no bgp default ipv4-unicast",
        *(f"neighbor {address} remote-as {as_number}" for address in both),
        "address-family ipv4 unicast",
        *(f"neighbor {node[4]} activate" for node in nodes),
        "exit-address-family",
        "address-family ipv6 unicast",
        *(f"neighbor {node[6]} activate" for node in nodes),
        "exit-address-family",
    ]


def sessions() -> list[Session]:
    """Return the sessions of both families."""
    summary = json.loads(show("show bgp summary json"))
    return [
        Session(neighbour, peer["state"], peer.get("peerState", ""), peer.get("pfxRcd", 0))
        for family in summary.values()
        if isinstance(family, dict)
        for neighbour, peer in family.get("peers", {}).items()
    ]


def waits_for_neighbours() -> bool:
    """Tell whether bgpd has tried to connect to all neighbours once, and now waits for them, for two minutes.

    It tries a second after it is told of a neighbour, and a node that does not know it yet closes the connection. If
    the node's own connection came at that moment, bgpd would refuse it by a notification, and BIRD would wait for 5 s.
    """
    neighbours = json.loads(show("show bgp neighbors json")).values()
    states = {(one["bgpState"], one["lastResetDueTo"]) for one in neighbours if isinstance(one, dict)}
    return states == {("Active", "Waiting for peer OPEN")}


def table() -> dict[str, set[str]]:
    """Return the prefixes that BGP has put into the router's kernel, each with its next hops."""
    found: dict[str, set[str]] = {}
    for family in ("ip", "ipv6"):
        routes: dict[str, list[dict[str, Any]]] = json.loads(show(f"show {family} route bgp json"))
        for prefix, ways in routes.items():
            hops = [hop for way in ways if way.get("installed") for hop in way["nexthops"]]
            found[str(ip_network(prefix))] = {hop["ip"] for hop in hops if "ip" in hop}
    return found
