"""Probes in a pod's network namespace whether addresses are free and gateways answer, then announces the addresses.

Side effects: enters the namespace and stays there, sets the link up, sends packets. So it needs a process of its own,
`spiderpool-ipam detect`, which the plugin (cni/plugin/detection.py) starts where the agent asks for probes.
"""

import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import NamedTuple

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from cni.contracts.detection import DetectionRequest, ProbedAddress
from cni.deadline import Deadline
from cni.detection.packets import Claim, protocol_of
from cni.errors import ADDRESS_CONFLICT, GATEWAY_UNREACHABLE, INVALID_NETNS, IO_FAILURE, CNIError

# DEPARTS: RFC 5227 sends probes 1 to 2 s apart and then waits 2 s, too long for the start of a pod. These are
# upstream's figures.
TRIES = 3
INTERVAL = 0.1  # seconds
CARRIER_WAIT = 3.0  # seconds; a physical interface negotiates its speed for so long
_POLL_INTERVAL = 0.01  # seconds

_IFF_NOARP = 0x80
_READY = 0x10040  # IFF_LOWER_UP | IFF_RUNNING
_ETHERNET = 1
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2


class Link(NamedTuple):
    """The interface that the probes are sent on."""

    name: str
    number: int
    mac: bytes


def detect(request: DetectionRequest, is_caller_there: Callable[[], bool]) -> str:
    """Probe all addresses at once, then announce them; return one line about it. Codes 5, 8, 102, 103.

    It is no error if the interface is not there yet, because Calico calls before it makes one. Nothing is announced
    once the caller is gone, because the addresses may then soon be given to another pod.
    """
    _enter(request["netns"])
    try:
        link, reason = _ready_link(request["ifname"])
        if link is None:
            return f"skipped: {request['ifname']} {reason}"
        _probe_all(link, request["addresses"], is_caller_there)
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
    """Set the link up and wait until it carries packets; without a usable link, return None and the reason."""
    with IPRoute() as links:
        found = links.link_lookup(ifname=name)
        if not found:
            return None, "is not there yet"
        (link,) = links.get_links(found[0])
        if link["flags"] & _IFF_NOARP or link["ifi_type"] != _ETHERNET:
            return None, "resolves no addresses"
        links.link("set", index=found[0], state="up")
        deadline = Deadline(CARRIER_WAIT)
        while (link := links.get_links(found[0])[0])["flags"] & _READY != _READY:
            if not deadline.left():
                raise OSError("no carrier")
            deadline.sleep(_POLL_INTERVAL)
        return Link(name, found[0], bytes.fromhex(link.get("address").replace(":", ""))), ""


def _probe_all(link: Link, addresses: list[ProbedAddress], is_caller_there: Callable[[], bool]) -> None:
    probes = [_Probe(link, probed) for probed in addresses]
    try:
        with ThreadPoolExecutor(len(probes)) as threads:
            # This waits for all of them, and raises what the first one has raised.
            list(threads.map(_Probe.run, probes))
        if is_caller_there():
            for probe in probes:
                probe.announce()
    finally:
        for probe in probes:
            probe.socket.close()


class _Probe:
    """One address, and a socket that receives the packets of its protocol from the link."""

    def __init__(self, link: Link, probed: ProbedAddress) -> None:
        self.link = link
        self.probed = probed
        self.address = ip_address(probed["address"]).packed
        self.protocol = protocol_of(self.address)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.socket.bind((link.name, self.protocol.ETHERTYPE))
        # RFC 4862 5.4.2: "an interface MUST join the all-nodes multicast address and the solicited-node multicast
        # address of the tentative address". The probes of other machines go to the latter.
        membership = struct.pack("=iHH8s", link.number, _ALL_MULTICAST, 0, b"")
        self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)

    def run(self) -> None:
        """Look for another holder of the address, then for its gateway. Codes 102, 103."""
        # In this order, because the question to the gateway has the address as its sender, and so enters it into the
        # gateway's table.
        if self.probed["detectConflict"] and (other := self._ask(self.protocol.UNSPECIFIED, self.address, _concerns)):
            text = "the address is in use by another machine: find it by its MAC, or exclude it from the SpiderIPPool"
            raise CNIError(ADDRESS_CONFLICT, text, f"{self.probed['address']} is at {other.hex(':')}")
        if self.probed["detectGateway"] and self.probed["gateway"]:
            gateway = ip_address(self.probed["gateway"]).packed
            if not self._ask(self.address, gateway, _says_who_has):
                text = "the gateway does not answer: are the SpiderIPPool's gateway and VLAN right for this interface?"
                details = f"{self.probed['gateway']} from {self.probed['address']} on {self.link.name}"
                raise CNIError(GATEWAY_UNREACHABLE, text, details)

    def announce(self) -> None:
        """Tell all machines on the link who has the address now, because they may remember a former owner."""
        self._send(self.protocol.announcement(self.link.mac, self.address), self.protocol.ALL_NODES_MAC)

    def _ask(self, sender: bytes, target: bytes, fits: Callable[[Claim, bytes], bool]) -> bytes | None:
        """Ask for `target` TRIES times, INTERVAL apart; return the MAC of the first claim that fits, or None."""
        for _ in range(TRIES):
            self._send(self.protocol.question(self.link.mac, sender, target), self.protocol.destination(target))
            deadline = Deadline(INTERVAL)
            while left := deadline.left():
                claim = self._receive_claim(left)
                if claim and fits(claim, target):
                    return claim.mac
        return None

    def _send(self, packet: bytes, destination: bytes) -> None:
        self.socket.sendto(packet, (self.link.name, self.protocol.ETHERTYPE, 0, 0, destination))

    def _receive_claim(self, seconds: float) -> Claim | None:
        """Return what the next packet claims, unless it is a packet of our own that has come back."""
        self.socket.settimeout(seconds)
        try:
            packet, (*_, source) = self.socket.recvfrom(2048)
        except TimeoutError:
            return None
        claim = self.protocol.read_claim(packet, source)
        return claim if claim and self.link.mac not in (source, claim.mac) else None


def _concerns(claim: Claim, address: bytes) -> bool:
    """Tell whether somebody has the address or is about to take it (RFC 5227 2.1.1, RFC 4862 5.4.3 and 5.4.4)."""
    return claim.address == address


def _says_who_has(claim: Claim, address: bytes) -> bool:
    return claim.address == address and not claim.is_probe
