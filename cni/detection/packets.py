"""Builds and reads packets of ARP (RFC 826, RFC 5227) and IPv6 Neighbour Discovery (RFC 4861, RFC 4862). Pure.

Packets come without their Ethernet header. IP and Ethernet addresses are packed bytes.
"""

import struct
from typing import NamedTuple

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_ETHERNET_IPV4 = (1, 0x0800, 6, 4)
_ARP_REQUEST = 1

_ICMPV6 = 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = 1, 2  # options
_OVERRIDE = 0x20000000
_HOP_LIMIT = 255
_ALL_NODES = bytes.fromhex("ff02 0000 0000 0000 0000 0000 0000 0001")
_SOLICITED_NODE = bytes.fromhex("ff02 0000 0000 0000 0000 0001 ff")


class Claim(NamedTuple):
    """A packet says that `mac` has `address`; a probe says that `mac` is about to take it if nobody has it."""

    address: bytes
    mac: bytes
    is_probe: bool


class Arp:
    """Address resolution for IPv4."""

    ETHERTYPE = 0x0806
    UNSPECIFIED = bytes(4)
    ALL_NODES_MAC = b"\xff" * 6

    @staticmethod
    def destination(target: bytes) -> bytes:
        """Return the Ethernet address that questions about `target` go to."""
        return Arp.ALL_NODES_MAC

    @staticmethod
    def question(mac: bytes, sender: bytes, target: bytes) -> bytes:
        """Ask who has `target`. From UNSPECIFIED it is a probe, which enters nothing into the tables of the others."""
        return _ARP.pack(*_ARP_ETHERNET_IPV4, _ARP_REQUEST, mac, sender, bytes(6), target)

    @staticmethod
    def announcement(mac: bytes, address: bytes) -> bytes:
        """Tell all machines that `mac` has `address`.

        RFC 5227 2.3: "identical to the ARP Probe …, except that now the sender and target IP addresses are both set".
        """
        return Arp.question(mac, address, address)

    @staticmethod
    def read_claim(packet: bytes, source: bytes) -> Claim | None:
        """Return what a packet claims, if anything; `source` is the Ethernet address that it came from."""
        if len(packet) < _ARP.size:
            return None
        *kind, operation, mac, sender, _, target = _ARP.unpack_from(packet)
        if tuple(kind) != _ARP_ETHERNET_IPV4:
            return None
        if sender != Arp.UNSPECIFIED:
            return Claim(sender, mac, is_probe=False)
        return Claim(target, mac, is_probe=True) if operation == _ARP_REQUEST else None


class Ndp:
    """Address resolution for IPv6."""

    ETHERTYPE = 0x86DD
    UNSPECIFIED = bytes(16)
    ALL_NODES_MAC = b"\x33\x33" + _ALL_NODES[12:]

    @staticmethod
    def destination(target: bytes) -> bytes:
        """Return the Ethernet address that questions about `target` go to: that of its solicited-node group."""
        return b"\x33\x33\xff" + target[13:]

    @staticmethod
    def question(mac: bytes, sender: bytes, target: bytes) -> bytes:
        """Ask who has `target`.

        RFC 4861 4.3, source link-layer address: "MUST NOT be included when the source IP address is the unspecified
        address".
        """
        option = b"" if sender == Ndp.UNSPECIFIED else _option(_SOURCE_LINK_LAYER, mac)
        return _icmpv6(_SOLICITATION, 0, sender, _SOLICITED_NODE + target[13:], target + option)

    @staticmethod
    def announcement(mac: bytes, address: bytes) -> bytes:
        """Tell all machines that `mac` has `address`: an unsolicited advertisement (RFC 4861 7.2.6)."""
        option = _option(_TARGET_LINK_LAYER, mac)
        return _icmpv6(_ADVERTISEMENT, _OVERRIDE, address, _ALL_NODES, address + option)

    @staticmethod
    def read_claim(packet: bytes, source: bytes) -> Claim | None:
        """Return what a packet claims, if anything; `source` is the Ethernet address that it came from.

        RFC 4861 7.1: a packet without a hop limit of 255, a valid checksum and whole options MUST be discarded.
        """
        if len(packet) < 64 or packet[0] >> 4 != 6 or packet[6] != _ICMPV6 or packet[7] != _HOP_LIMIT:
            return None
        length = int.from_bytes(packet[4:6])
        message = packet[40 : 40 + length]  # the frame may be padded
        options = _options(message[24:])
        if not 24 <= length == len(message) or options is None or _checksum(packet[8:24], packet[24:40], message):
            return None
        target = message[8:24]
        if message[0] == _ADVERTISEMENT:
            return Claim(target, options.get(_TARGET_LINK_LAYER, source), is_probe=False)
        if message[0] == _SOLICITATION and packet[8:24] == Ndp.UNSPECIFIED:
            return Claim(target, source, is_probe=True)
        return None


def protocol_of(address: bytes) -> type[Arp] | type[Ndp]:
    """Return the protocol that resolves addresses of this family."""
    return Arp if len(address) == 4 else Ndp


def _option(kind: int, mac: bytes) -> bytes:
    return bytes((kind, 1)) + mac


def _options(data: bytes) -> dict[int, bytes] | None:
    """Return the first six bytes of each option by its type, or None if an option is cut or has no length."""
    options = {}
    while data:
        size = 8 * data[1] if len(data) > 1 else 0
        if not 0 < size <= len(data):
            return None
        options[data[0]] = data[2:8]
        data = data[size:]
    return options


def _icmpv6(kind: int, flags: int, source: bytes, destination: bytes, body: bytes) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, 8 + len(body), _ICMPV6, _HOP_LIMIT)
    tail = flags.to_bytes(4) + body
    checksum = _checksum(source, destination, bytes((kind, 0, 0, 0)) + tail)
    return head + source + destination + struct.pack("!BBH", kind, 0, checksum) + tail


def _checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """Return the checksum (RFC 4443 2.3) of a message; of one that contains its checksum, 0 if that is right."""
    data = source + destination + struct.pack("!II", len(message), _ICMPV6) + message
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8) * (len(data) & 1)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
