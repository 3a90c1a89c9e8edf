"""Which pools a request draws on, and which address comes next. Pure.

Of a pool, the addresses that were never handed out come first, in ascending order; then those that were given back,
the longest unused first: a peer may still have an old owner's address in its ARP cache or its connection table.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import chain
from typing import Literal, NamedTuple

from cni.agent.pools import Pool
from cni.agent.ranges import Range, contains, merge, subtract
from cni.contracts.agent_api import IpamAddArgs
from cni.contracts.ippool import PoolRoute

Address = IPv4Address | IPv6Address
FreeByPool = dict[str, "FreeAddresses"]

_DEFAULT_DESTINATION = {4: "0.0.0.0/0", 6: "::/0"}


class AllocationError(Exception):
    """No address for this request, in the words of upstream's agent (pkg/ipam, pkg/constant/errors.go)."""


class Lease(NamedTuple):
    """One address that an interface holds, and what goes with it as long as it does, whatever becomes of the pool."""

    version: Literal[4, 6]
    address: str
    prefix_length: int
    pool: str
    gateway: str | None
    vlan: int
    routes: list[PoolRoute]


class FreeAddresses:
    """The addresses of one pool that nobody holds, in the order in which they are handed out."""

    def __init__(self, pool: Pool, used: list[Range], returned: Iterable[Address]) -> None:
        """Start from what was ever used of the pool's IP version, and what of it was given back, oldest first."""
        self._pool = pool
        self._never_used = deque(subtract(pool.ranges, used))
        self._returned = deque(address for address in returned if self._owns(address))

    def first(self) -> Address | None:
        """Return the address that comes next; None when all are used out."""
        if self._never_used:
            number = self._never_used[0][0]
            return IPv4Address(number) if self._pool.version == 4 else IPv6Address(number)
        return self._returned[0] if self._returned else None

    def take_first(self) -> None:
        """Remove the address that came next."""
        if not self._never_used:
            self._returned.popleft()
            return
        first, last = self._never_used.popleft()
        if first < last:
            self._never_used.appendleft((first + 1, last))

    def give_back(self, address: Address) -> None:
        """Put a freed address last. One that the pool's manifest does not list (any more) is left alone."""
        if self._owns(address):
            self._returned.append(address)

    def _owns(self, address: Address) -> bool:
        return address.version == self._pool.version and contains(self._pool.ranges, int(address))


def free_addresses(pools: Iterable[Pool], held: Iterable[Address], returned: Sequence[Address]) -> FreeByPool:
    """Work out what each pool has left; `returned` are the addresses given back, oldest first."""
    numbers: dict[int, list[Range]] = {4: [], 6: []}
    for address in chain(held, returned):
        numbers[address.version].append((int(address), int(address)))
    used = {version: merge(ranges) for version, ranges in numbers.items()}
    return {pool.name: FreeAddresses(pool, used[pool.version], returned) for pool in pools}


def select_pools(pools: Mapping[str, Pool], args: IpamAddArgs) -> dict[Literal[4, 6], list[Pool]]:
    """Return the pools to try for each IP version that the interface gets; raise AllocationError."""
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
    """Leave out disabled pools and those of the other version, as upstream does; refuse if none remains."""
    usable, reasons = [], []
    for pool in candidates:
        if pool.disabled:
            reasons.append(f"disabled IPPool {pool.name}")
        elif pool.version != version:
            is_version = f"the version of the IPPool {pool.name} is IPv{pool.version}"
            reasons.append(f"expect an IPv{version} IPPool, but {is_version}")
        else:
            usable.append(pool)
    if not usable:
        what = f"all IPv{version} IPPools {_names(candidates)} of {ifname} filtered out"
        raise AllocationError(f"no IPPool available, {what}: {', '.join(reasons)}")
    return usable


def choose_leases(selected: Mapping[Literal[4, 6], list[Pool]], free: FreeByPool, args: IpamAddArgs) -> list[Lease]:
    """Choose the next address of each IP version, without taking it; raise AllocationError unless all have one."""
    return [_choose(version, candidates, free, args) for version, candidates in selected.items()]


def _choose(version: Literal[4, 6], candidates: list[Pool], free: FreeByPool, args: IpamAddArgs) -> Lease:
    for pool in candidates:
        address = free[pool.name].first()
        if address is not None:
            return _lease(pool, address, bool(args.get("cleanGateway")))
    what = f"any IPv{version} IP address to NIC {args['ifName']} from IPPools {_names(candidates)}"
    raise AllocationError(f"failed to allocate {what}: all IP addresses used out")


def _lease(pool: Pool, address: Address, clean_gateway: bool) -> Lease:
    routes = list(pool.routes)
    if pool.gateway and not clean_gateway:
        routes.insert(0, {"dst": _DEFAULT_DESTINATION[pool.version], "gw": pool.gateway})
    return Lease(pool.version, str(address), pool.subnet.prefixlen, pool.name, pool.gateway, pool.vlan, routes)


def _names(pools: list[Pool]) -> str:
    return f"[{' '.join(pool.name for pool in pools)}]"
