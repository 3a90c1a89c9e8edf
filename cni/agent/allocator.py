"""Selects the pools for a request and the next address of each. Pure.

A pool first hands out the addresses that were never used, in ascending order. After them come the freed ones, the
longest unused first, because a peer may still have the former owner in its ARP cache or its connection table.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import chain
from typing import Literal

from cni.agent.leases import Lease
from cni.agent.pools import Pool
from cni.agent.ranges import Range, contains, merge, subtract
from cni.contracts.agent_api import IpamAddArgs
from cni.contracts.ippool import Address

FreeByPool = dict[str, "FreeAddresses"]

_DEFAULT_DESTINATION = {4: "0.0.0.0/0", 6: "::/0"}


class AllocationError(Exception):
    """There is no address for this request; the text begins as upstream's (pkg/ipam, pkg/constant/errors.go)."""


class FreeAddresses:
    """The addresses of one pool that nobody holds, in the order in which they are handed out."""

    def __init__(self, pool: Pool, used: list[Range], freed: Iterable[Address]) -> None:
        """Start from all addresses of the pool's IP version that were ever used; `freed` ones come oldest first."""
        self._pool = pool
        self._never_used = deque(subtract(pool.ranges, used))
        self._freed = deque(address for address in freed if self._owns(address))

    def first(self) -> Address | None:
        """Return the address that comes next, or None when no address is free."""
        if self._never_used:
            number = self._never_used[0][0]
            return IPv4Address(number) if self._pool.version == 4 else IPv6Address(number)
        return self._freed[0] if self._freed else None

    def take_first(self) -> None:
        """Remove the address that comes next."""
        if not self._never_used:
            self._freed.popleft()
            return
        first, last = self._never_used.popleft()
        if first < last:
            self._never_used.appendleft((first + 1, last))

    def append(self, address: Address) -> None:
        """Add a freed address as the last one, unless the pool's manifest does not list it (any more)."""
        if self._owns(address):
            self._freed.append(address)

    def _owns(self, address: Address) -> bool:
        return address.version == self._pool.version and contains(self._pool.ranges, int(address))


def free_addresses(pools: Iterable[Pool], held: Iterable[Address], freed: Sequence[Address]) -> FreeByPool:
    """Return the free addresses of each pool by its name; `freed` ones come oldest first."""
    numbers: dict[int, list[Range]] = {4: [], 6: []}
    for address in chain(held, freed):
        numbers[address.version].append((int(address), int(address)))
    used = {version: merge(ranges) for version, ranges in numbers.items()}
    return {pool.name: FreeAddresses(pool, used[pool.version], freed) for pool in pools}


def select_pools(pools: Mapping[str, Pool], args: IpamAddArgs) -> dict[Literal[4, 6], list[Pool]]:
    """Return the pools to try, in order, for each IP version that the interface gets; raise AllocationError."""
    named: dict[Literal[4, 6], list[str] | None] = {
        4: args.get("defaultIPv4IPPool"),
        6: args.get("defaultIPv6IPPool"),
    }
    selected = {}
    for version, names in named.items():
        candidates = [_named(pools, name) for name in names] if names else _defaults(pools, version)
        if candidates:
            selected[version] = _usable(candidates, version, args["ifName"])
    if not selected:
        raise AllocationError(
            "no IPPool available, no pool selection rules of any type are specified: "
            "name a pool in the network configuration, or mark one with 'default: true'"
        )
    return selected


def _named(pools: Mapping[str, Pool], name: str) -> Pool:
    if name not in pools:
        text = f'failed to get original IPPool {name}: SpiderIPPool.spiderpool.spidernet.io "{name}" not found'
        raise AllocationError(text)
    return pools[name]


def _defaults(pools: Mapping[str, Pool], version: int) -> list[Pool]:
    return [pool for pool in pools.values() if pool.default and pool.version == version]


def _usable(candidates: list[Pool], version: int, ifname: str) -> list[Pool]:
    """Return the enabled pools of this IP version, as upstream does; raise AllocationError if there are none."""
    usable, reasons = [], []
    for pool in candidates:
        if pool.disabled:
            reasons.append(f"disabled IPPool {pool.name}")
        elif pool.version != version:
            reasons.append(
                f"expect an IPv{version} IPPool, but the version of the IPPool {pool.name} is IPv{pool.version}"
            )
        else:
            usable.append(pool)
    if not usable:
        what = f"all IPv{version} IPPools {_names(candidates)} of {ifname} filtered out"
        raise AllocationError(f"no IPPool available, {what}: {', '.join(reasons)}")
    return usable


def choose_leases(selected: Mapping[Literal[4, 6], list[Pool]], free: FreeByPool, args: IpamAddArgs) -> list[Lease]:
    """Choose the next address of each IP version, without taking it; raise AllocationError if one version has none."""
    return [_choose(version, candidates, free, args) for version, candidates in selected.items()]


def _choose(version: Literal[4, 6], candidates: list[Pool], free: FreeByPool, args: IpamAddArgs) -> Lease:
    for pool in candidates:
        address = free[pool.name].first()
        if address is not None:
            return _lease(pool, address, bool(args.get("cleanGateway")))
    what = f"any IPv{version} IP address to NIC {args['ifName']} from IPPools {_names(candidates)}"
    # No controller looks for containers that are gone, as one does beside a real agent.
    advice = "`spiderpool-ipam attach gc --conf FILE --keep CONTAINER_ID/IFNAME` frees those of gone containers"
    raise AllocationError(f"failed to allocate {what}: all IP addresses used out: {advice}")


def _lease(pool: Pool, address: Address, clean_gateway: bool) -> Lease:
    routes = list(pool.routes)
    if pool.gateway and not clean_gateway:
        routes.insert(0, {"dst": _DEFAULT_DESTINATION[pool.version], "gw": pool.gateway})
    return Lease(pool.version, str(address), pool.subnet.prefixlen, pool.name, pool.gateway, pool.vlan, routes)


def _names(pools: list[Pool]) -> str:
    return f"[{' '.join(pool.name for pool in pools)}]"
