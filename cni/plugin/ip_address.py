"""Addresses and prefixes, read by the C library's own parser. Pure. Takes the place of `ipaddress`, whose import costs
8 ms."""

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

_MAPPED = bytes(10) + b"\xff\xff"


def parse(text: str) -> bytes:
    """Return the 4 or 16 bytes of an address; ValueError otherwise.

    An IPv4-mapped IPv6 address is refused: Go would print it as the other family.
    """
    try:
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except OSError:
        raise ValueError(f"{text!r} is not an IP address") from None
    if packed[:12] == _MAPPED:
        raise ValueError(f"{text!r} is an IPv4-mapped address")
    return packed


def parse_prefix(text: str) -> tuple[bytes, int]:
    """Return address bytes and prefix length of `address/length`; ValueError otherwise."""
    address, slash, length = text.partition("/")
    packed = parse(address)
    if not slash or not length.isascii() or not length.isdigit() or len(length) > 3 or int(length) > 8 * len(packed):
        raise ValueError(f"{text!r} has no prefix length from 0 to {8 * len(packed)}")
    return packed, int(length)


def text(packed: bytes) -> str:
    """Return the canonical text of 4 or 16 address bytes."""
    return inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed)


def family(packed: bytes) -> int:
    """Return 4 or 6."""
    return 4 if len(packed) == 4 else 6


def network(packed: bytes, length: int) -> bytes:
    """Return the address with its host bits cleared."""
    host_bits = 8 * len(packed) - length
    return (int.from_bytes(packed, "big") >> host_bits << host_bits).to_bytes(len(packed), "big")
