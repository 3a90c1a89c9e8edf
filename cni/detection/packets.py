"""ARP (RFC 826, RFC 5227) and IPv6 Neighbour Discovery (RFC 4861, RFC 4862) as probing needs them. Pure.

Packets are without their Ethernet header; addresses, of IP and of Ethernet, are packed bytes.
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


class Heard(NamedTuple):
    """What a packet says: that `mac` has `address`, or (a probe) that it asks whether somebody has."""

    address: bytes
    mac: bytes
    is_probe: bool


class Arp:
    """IPv4's protocol."""

    ETHERTYPE = 0x0806
    NOBODY = bytes(4)
    ALL = b"\xff" * 6  # where announcements go, an Ethernet address

    @staticmethod
    def destination(target: bytes) -> bytes:
        """Return the Ethernet address that questions about `target` go to."""
        return Arp.ALL

    @staticmethod
    def question(mac: bytes, sender: bytes, target: bytes) -> bytes:
        """Ask who has `target`; from NOBODY it is a probe, which leaves no trace in the others' tables."""
        return _ARP.pack(*_ARP_ETHERNET_IPV4, _ARP_REQUEST, mac, sender, bytes(6), target)

    @staticmethod
    def announcement(mac: bytes, address: bytes) -> bytes:
        """Tell everybody that `mac` has `address`.

        RFC 5227 2.3: "identical to the ARP Probe …, except that now the sender and target IP addresses are both set".
        """
        return Arp.question(mac, address, address)

    @staticmethod
    def hear(packet: bytes, source: bytes) -> Heard | None:
        """Understand a packet; `source` is the Ethernet address that it came from."""
        if len(packet) < _ARP.size:
            return None
        *kind, operation, mac, sender, _, target = _ARP.unpack_from(packet)
        if tuple(kind) != _ARP_ETHERNET_IPV4:
            return None
        if sender != Arp.NOBODY:
            return Heard(sender, mac, is_probe=False)
        return Heard(target, mac, is_probe=True) if operation == _ARP_REQUEST else None


class Ndp:
    """IPv6's protocol."""

    ETHERTYPE = 0x86DD
    NOBODY = bytes(16)
    ALL = b"\x33\x33" + _ALL_NODES[12:]

    @staticmethod
    def destination(target: bytes) -> bytes:
        """Return the Ethernet address that questions about `target` go to: its solicited-node multicast group's."""
        return b"\x33\x33\xff" + target[13:]

    @staticmethod
    def question(mac: bytes, sender: bytes, target: bytes) -> bytes:
        """Ask who has `target`.

        RFC 4861 4.3, source link-layer address: "MUST NOT be included when the source IP address is the unspecified
        address".
        """
        option = b"" if sender == Ndp.NOBODY else _option(_SOURCE_LINK_LAYER, mac)
        return _icmpv6(_SOLICITATION, 0, sender, _SOLICITED_NODE + target[13:], target + option)

    @staticmethod
    def announcement(mac: bytes, address: bytes) -> bytes:
        """Tell everybody that `mac` has `address`: an unsolicited advertisement (RFC 4861 7.2.6)."""
        option = _option(_TARGET_LINK_LAYER, mac)
        return _icmpv6(_ADVERTISEMENT, _OVERRIDE, address, _ALL_NODES, address + option)

    @staticmethod
    def hear(packet: bytes, source: bytes) -> Heard | None:
        """Understand a packet; `source` is the Ethernet address that it came from.

        RFC 4861 7.1: what does not have a hop limit of 255, a valid checksum and whole options MUST be discarded.
        """
        if len(packet) < 64 or packet[0] >> 4 != 6 or packet[6] != _ICMPV6 or packet[7] != _HOP_LIMIT:
            return None
        length = int.from_bytes(packet[4:6])
        message = packet[40 : 40 + length]  # padding may follow
        options = _options(message[24:])
        if not 24 <= length == len(message) or options is None or _checksum(packet[8:24], packet[24:40], message):
            return None
        target = message[8:24]
        if message[0] == _ADVERTISEMENT:
            return Heard(target, options.get(_TARGET_LINK_LAYER, source), is_probe=False)
        if message[0] == _SOLICITATION and packet[8:24] == Ndp.NOBODY:
            return Heard(target, source, is_probe=True)
        return None


def protocol_of(address: bytes) -> type[Arp] | type[Ndp]:
    """Return what resolves addresses of this one's family."""
    return Arp if len(address) == 4 else Ndp


def _option(kind: int, mac: bytes) -> bytes:
    return bytes((kind, 1)) + mac


def _options(data: bytes) -> dict[int, bytes] | None:
    """Return the first six bytes of each option by its type; None where one is cut or has no length."""
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
    """Return the checksum (RFC 4443 2.3) of a message whose own is 0; of one that has its own: 0 if it is right."""
    data = source + destination + struct.pack("!II", len(message), _ICMPV6) + message
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8) * (len(data) & 1)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
