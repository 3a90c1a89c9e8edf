"""Ranges of addresses, as SpiderPool writes them, against CIDRs, as Calico writes them. Pure."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from cni.contracts.spiderpool_objects import SpiderIPPool

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Range(NamedTuple):
    """From the first to the last address."""

    first: Address
    last: Address

    def __str__(self) -> str:
        """Return it as SpiderPool writes it."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def size(self) -> int:
        """The number of its addresses."""
        return int(self.last) - int(self.first) + 1

    def has(self, address: Address) -> bool:
        """Tell whether an address is in it."""
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def overlaps(self, network: Network) -> bool:
        """Tell whether an address is in both."""
        return network.version == self.first.version and not (
            int(network.broadcast_address) < int(self.first) or int(network.network_address) > int(self.last)
        )


def network(text: str) -> Network:
    """Return the network of a CIDR, whose host bits may be set. ValueError."""
    return ipaddress.ip_network(text, strict=False)


def is_subnet(prefix: Network, cidr: Network) -> bool:
    """Tell whether a prefix is in a CIDR, or is the same: `net ~ cidr` of BIRD."""
    if prefix.version != cidr.version:
        return False
    return prefix.prefixlen >= cidr.prefixlen and prefix.network_address in cidr


def pool_ranges(pool: SpiderIPPool) -> list[Range]:
    """Return the ranges of a SpiderIPPool: none where it names none. What is no address is left out."""
    return ranges_of(pool["spec"].get("ips", []))


def ranges_of(texts: Iterable[str]) -> list[Range]:
    """Return what SpiderPool's ranges say: an address, FIRST-LAST or a CIDR. What is none of them is left out."""
    return [found for text in texts if (found := _range(text))]


def address_of(text: str) -> Address | None:
    """Return an address, also of one with a prefix length; None where it is none."""
    try:
        return ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        return None


def _range(text: str) -> Range | None:
    try:
        if "/" in text:
            whole = network(text)
            return Range(whole.network_address, whole.broadcast_address)
        first, _, last = text.partition("-")
        ends = Range(ipaddress.ip_address(first.strip()), ipaddress.ip_address((last or first).strip()))
    except ValueError:
        return None
    return ends if ends.first.version == ends.last.version else None


def uncovered(wanted: Range, networks: Iterable[Network]) -> Iterator[Range]:
    """Yield the parts of a range that no network has."""
    at = int(wanted.first)
    kind = type(wanted.first)
    for one in sorted((one for one in networks if wanted.overlaps(one)), key=lambda one: int(one.network_address)):
        if int(one.network_address) > at:
            yield Range(kind(at), kind(int(one.network_address) - 1))
        at = max(at, int(one.broadcast_address) + 1)
    if at <= int(wanted.last):
        yield Range(kind(at), wanted.last)


def without(wanted: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """Return what is left of ranges without others."""
    left = list(wanted)
    for hole in holes:
        left = [part for one in left for part in _split(one, hole)]
    return left


def _split(one: Range, hole: Range) -> Iterator[Range]:
    kind = type(one.first)
    first, last = int(hole.first), int(hole.last)
    if hole.first.version != one.first.version or last < int(one.first) or first > int(one.last):
        yield one
        return
    if first > int(one.first):
        yield Range(one.first, kind(first - 1))
    if last < int(one.last):
        yield Range(kind(last + 1), one.last)
