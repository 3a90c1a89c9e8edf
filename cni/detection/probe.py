"""Is an address free, does its gateway answer? Probes in a pod's network namespace, then announces the address.

Side effects: enters the namespace and stays there, sets the link up, sends packets: for a process of its own, which
`spiderpool-ipam detect` is. The plugin (plugin/detection.py) starts that where the agent asks for it.
"""

import os
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import NamedTuple, TypedDict

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from cni.detection.packets import Heard, protocol_of
from cni.errors import ADDRESS_CONFLICT, GATEWAY_UNREACHABLE, INVALID_NETNS, IO_FAILURE, CNIError

# DEPARTS: RFC 5227 spaces its probes by 1 to 2 s and waits 2 s more: no pod's start can. These are upstream's figures.
TRIES = 3
INTERVAL = 0.1  # seconds
CARRIER_WAIT = 3.0  # seconds: a physical interface negotiates that long
_POLL = 0.01  # seconds

_IFF_NOARP = 0x80
_READY = 0x10040  # IFF_LOWER_UP | IFF_RUNNING
_ETHERNET = 1
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2


class Wanted(TypedDict):
    """One address, and what is to be found out about it."""

    address: str
    gateway: str  # or ""
    detectConflict: bool
    detectGateway: bool


class Request(TypedDict):
    """What `spiderpool-ipam detect` reads."""

    netns: str
    ifname: str
    addresses: list[Wanted]


class Link(NamedTuple):
    """The interface that probes leave by."""

    name: str
    number: int
    mac: bytes


def detect(request: Request, is_wanted: Callable[[], bool] = lambda: True) -> str:
    """Probe the addresses, all families at once, then announce them; return one line. Codes 5, 8, 102, 103.

    An interface that is not there yet is no error: Calico calls before it makes one. Nothing is announced where
    `is_wanted` says no by then: who asked is gone, and the addresses may be another's soon.
    """
    _enter(request["netns"])
    try:
        link, why_not = _ready_link(request["ifname"])
        if link is None:
            return f"skipped: {request['ifname']} {why_not}"
        _probe_all(link, request["addresses"], is_wanted)
    except (OSError, NetlinkError) as error:
        text = "the address could not be probed, as the agent asks for: see the details and the node's network"
        raise CNIError(IO_FAILURE, text, f"{request['ifname']}: {error}") from None
    return "clear"


def _enter(path: str) -> None:
    try:
        namespace = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            netns.setns(namespace)
        finally:
            os.close(namespace)
    except OSError as error:
        raise CNIError(INVALID_NETNS, "cannot enter the pod's network namespace", f"{path}: {error.strerror}") from None


def _ready_link(name: str) -> tuple[Link | None, str]:
    """Set the link up and wait until it carries packets; or return why there is nothing to probe on."""
    with IPRoute() as links:
        found = links.link_lookup(ifname=name)
        if not found:
            return None, "is not there yet"
        (link,) = links.get_links(found[0])
        if link["flags"] & _IFF_NOARP or link["ifi_type"] != _ETHERNET:
            return None, "resolves no addresses"
        links.link("set", index=found[0], state="up")
        give_up = time.monotonic() + CARRIER_WAIT
        while (link := links.get_links(found[0])[0])["flags"] & _READY != _READY:
            if time.monotonic() > give_up:
                raise OSError("no carrier")
            time.sleep(_POLL)
        return Link(name, found[0], bytes.fromhex(link.get("address").replace(":", ""))), ""


def _probe_all(link: Link, addresses: list[Wanted], is_wanted: Callable[[], bool]) -> None:
    probes = [_Probe(link, wanted) for wanted in addresses]
    try:
        with ThreadPoolExecutor(len(probes)) as threads:
            # All are waited for; what the first one raises is raised here.
            list(threads.map(_Probe.run, probes))
        for probe in probes if is_wanted() else ():
            probe.announce()
    finally:
        for probe in probes:
            probe.socket.close()


class _Probe:
    """One address, with a socket that hears what the link brings of its family's protocol."""

    def __init__(self, link: Link, wanted: Wanted) -> None:
        self.link = link
        self.wanted = wanted
        self.address = ip_address(wanted["address"]).packed
        self.protocol = protocol_of(self.address)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.socket.bind((link.name, self.protocol.ETHERTYPE))
        # RFC 4862 5.4.2: "an interface MUST join the all-nodes multicast address and the solicited-node multicast
        # address of the tentative address". Others' probes go to the latter.
        membership = struct.pack("=iHH8s", link.number, _ALL_MULTICAST, 0, b"")
        self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)

    def run(self) -> None:
        """Look for another holder of the address, then for its gateway. Codes 102, 103."""
        # In this order: the question to the gateway is asked from the address, and enters it into the gateway's table.
        if self.wanted["detectConflict"] and (other := self._ask(self.protocol.NOBODY, self.address, _is_about)):
            text = "the address is in use by another machine: find it by its MAC, or exclude it from the SpiderIPPool"
            raise CNIError(ADDRESS_CONFLICT, text, f"{self.wanted['address']} is at {other.hex(':')}")
        if self.wanted["detectGateway"] and self.wanted["gateway"]:
            gateway = ip_address(self.wanted["gateway"]).packed
            if not self._ask(self.address, gateway, _is_claimed):
                text = "the gateway does not answer: are the SpiderIPPool's gateway and VLAN right for this interface?"
                details = f"{self.wanted['gateway']} from {self.wanted['address']} on {self.link.name}"
                raise CNIError(GATEWAY_UNREACHABLE, text, details)

    def announce(self) -> None:
        """Tell the others on the link who has the address, in case that they remember another one."""
        self._send(self.protocol.announcement(self.link.mac, self.address), self.protocol.ALL)

    def _ask(self, sender: bytes, target: bytes, fits: Callable[[Heard, bytes], bool]) -> bytes | None:
        """Ask for `target`, TRIES times, INTERVAL apart; return the MAC of the first that is heard of, or None."""
        for _ in range(TRIES):
            self._send(self.protocol.question(self.link.mac, sender, target), self.protocol.destination(target))
            until = time.monotonic() + INTERVAL
            while (left := until - time.monotonic()) > 0:
                heard = self._hear(left)
                if heard and fits(heard, target):
                    return heard.mac
        return None

    def _send(self, packet: bytes, destination: bytes) -> None:
        self.socket.sendto(packet, (self.link.name, self.protocol.ETHERTYPE, 0, 0, destination))

    def _hear(self, seconds: float) -> Heard | None:
        """Return what the next packet says, unless it is nothing or our own, come back."""
        self.socket.settimeout(seconds)
        try:
            packet, (*_, source) = self.socket.recvfrom(2048)
        except TimeoutError:
            return None
        heard = self.protocol.hear(packet, source)
        return heard if heard and self.link.mac not in (source, heard.mac) else None


def _is_about(heard: Heard, address: bytes) -> bool:
    """Tell whether somebody has the address or is about to take it: RFC 5227 2.1.1, RFC 4862 5.4.3 and 5.4.4."""
    return heard.address == address


def _is_claimed(heard: Heard, address: bytes) -> bool:
    return heard.address == address and not heard.is_probe
