"""Which addresses SpiderPool has given, by the records of its pools. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from cni.contracts.spiderpool_objects import POOL_ALLOCATIONS, SpiderIPPool, SpiderReservedIP
from cni.doctor.ranges import Address, Range, address_of, pool_ranges, ranges_of, without


class Allocation(NamedTuple):
    """An address, and who has it."""

    address: Address
    pod: str  # "NAMESPACE/NAME"
    uid: str  # "" where it is not told
    pool: str


def allocations(pools: Iterable[SpiderIPPool]) -> Iterator[Allocation]:
    """Yield all records of the pools. Those that cannot be read are left out."""
    for pool in pools:
        try:
            found = POOL_ALLOCATIONS.validate_json(pool.get("status", {}).get("allocatedIPs") or "{}")
        except ValidationError:
            continue
        for text, one in found.items():
            pod = one["pod"] if "/" in one["pod"] else f"{one.get('namespace', '')}/{one['pod']}"
            if address := address_of(text):
                yield Allocation(address, pod, one.get("podUid", ""), pool["metadata"]["name"])


def reserved_ranges(reserved: Iterable[SpiderReservedIP]) -> list[Range]:
    """Return the ranges that SpiderPool gives to nobody."""
    return [one for each in reserved for one in ranges_of(each.get("spec", {}).get("ips", []))]


def usable_ranges(pool: SpiderIPPool, reserved: Sequence[Range]) -> list[Range]:
    """Return what SpiderPool gives addresses out of."""
    return without(pool_ranges(pool), [*ranges_of(pool["spec"].get("excludeIPs", [])), *reserved])
