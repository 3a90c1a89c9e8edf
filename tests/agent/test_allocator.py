"""Which pools a request draws on, and which address comes next."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest

from cni.agent.allocator import (
    AllocationError,
    FreeByPool,
    choose_leases,
    free_addresses,
    select_pools,
)
from cni.agent.leases import Lease
from cni.agent.pools import Pool, read_pools
from cni.contracts.agent_api import IpamAddArgs
from cni.contracts.ippool import Address
from tests.agent.agent_process import add_args, pool, write_pools

SIX = {"subnet": "fd00:244::/64"}


def _pools(folder: Path, *manifests: dict[str, Any]) -> dict[str, Pool]:
    return {read.name: read for read in read_pools([write_pools(folder / "p.yaml", *manifests)], print)}


def _args(**more: Any) -> IpamAddArgs:
    return cast("IpamAddArgs", add_args("u", **more))


def _selected(pools: dict[str, Pool], **more: Any) -> dict[int, list[str]]:
    return {version: [pool.name for pool in found] for version, found in select_pools(pools, _args(**more)).items()}


def _refusal(pools: dict[str, Pool], **more: Any) -> str:
    with pytest.raises(AllocationError) as error:
        select_pools(pools, _args(**more))
    return str(error.value)


def _drain(free: FreeByPool, name: str) -> list[str]:
    """Take every address of a pool."""
    taken = []
    while (address := free[name].first()) is not None:
        taken.append(str(address))
        free[name].take_first()
    return taken


def _addresses(*texts: str) -> list[Address]:
    return [ip_address(text) for text in texts]


def test_never_used_addresses_come_first_in_order_then_freed_ones_oldest_first(tmp_path: Path) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1-10.244.0.4", "10.244.0.9"))
    free = free_addresses(pools.values(), _addresses("10.244.0.2"), _addresses("10.244.0.9", "10.244.0.1"))
    free["a"].append(ip_address("10.244.0.2"))
    assert _drain(free, "a") == ["10.244.0.3", "10.244.0.4", "10.244.0.9", "10.244.0.1", "10.244.0.2"]


def test_an_address_that_no_pool_lists_any_more_is_not_handed_out_again(tmp_path: Path) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1-10.244.0.9", excludeIPs=["10.244.0.2-10.244.0.8"]))
    free = free_addresses(pools.values(), [], _addresses("10.244.0.3", "10.245.0.1", "fd00::1"))
    free["a"].append(ip_address("10.244.0.4"))
    assert _drain(free, "a") == ["10.244.0.1", "10.244.0.9"]


def test_an_ipv6_address_is_not_taken_for_the_ipv4_address_of_the_same_number(tmp_path: Path) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1-10.244.0.2"), pool("b", "::10.244.0.1", subnet="::/64"))
    free = free_addresses(pools.values(), _addresses("::10.244.0.1"), [])
    for one in free.values():
        one.append(ip_address("::10.244.0.1"))
    assert (_drain(free, "a"), _drain(free, "b")) == (["10.244.0.1", "10.244.0.2"], ["::af4:1"])


def test_the_requests_pools_are_tried_in_its_order_and_before_the_default_ones(tmp_path: Path) -> None:
    default, others = pool("a", "10.244.0.1", default=True), [pool("b", "10.244.0.2"), pool("c", "10.244.0.3")]
    pools = _pools(tmp_path, default, *others, pool("six", "fd00:244::1", default=True, **SIX))
    assert _selected(pools) == {4: ["a"], 6: ["six"]}
    assert _selected(pools, defaultIPv4IPPool=["c", "b"]) == {4: ["c", "b"], 6: ["six"]}
    assert _selected(pools, defaultIPv4IPPool=[], defaultIPv6IPPool=None) == {4: ["a"], 6: ["six"]}


def test_without_a_default_pool_only_the_named_versions_are_given(tmp_path: Path) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1"), pool("six", "fd00:244::1", **SIX))
    assert _selected(pools, defaultIPv6IPPool=["six"]) == {6: ["six"]}
    assert "no IPPool available" in _refusal(pools)
    assert "default: true" in _refusal(pools)


def test_an_unknown_pool_is_refused_by_name_even_behind_a_good_one(tmp_path: Path) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1"))
    assert '"nope" not found' in _refusal(pools, defaultIPv4IPPool=["a", "nope"])


def test_disabled_pools_and_those_of_the_other_version_are_passed_over_and_named_when_none_is_left(
    tmp_path: Path,
) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1"), pool("off", "10.244.0.2", disable=True))
    pools |= _pools(tmp_path, pool("six", "fd00:244::1", **SIX))
    assert _selected(pools, defaultIPv4IPPool=["off", "six", "a"]) == {4: ["a"]}
    assert _refusal(pools, defaultIPv4IPPool=["off", "six"]) == (
        "no IPPool available, all IPv4 IPPools [off six] of eth0 filtered out: "
        "disabled IPPool off, expect an IPv4 IPPool, but the version of the IPPool six is IPv6"
    )


def _chosen(pools: dict[str, Pool], free: FreeByPool, **more: Any) -> list[Lease]:
    args = _args(**more)
    return choose_leases(select_pools(pools, args), free, args)


def test_the_next_pool_of_the_list_is_used_when_one_is_exhausted(tmp_path: Path) -> None:
    pools = _pools(tmp_path, pool("a", "10.244.0.1"), pool("b", "10.244.0.2"))
    free = free_addresses(pools.values(), [], [])
    names = {"defaultIPv4IPPool": ["a", "b"]}
    assert [lease.pool for lease in _chosen(pools, free, **names)] == ["a"]
    free["a"].take_first()
    assert [lease.pool for lease in _chosen(pools, free, **names)] == ["b"]
    free["b"].take_first()
    with pytest.raises(AllocationError, match=r"NIC eth0 from IPPools \[a b\]: all IP addresses used out"):
        _chosen(pools, free, **names)


def test_dual_stack_is_refused_whole_when_one_version_is_exhausted(tmp_path: Path) -> None:
    six = pool("six", "fd00:244::1", default=True, **SIX)
    pools = _pools(tmp_path, pool("a", "10.244.0.1-10.244.0.2", default=True), six)
    free = free_addresses(pools.values(), _addresses("fd00:244::1"), [])
    with pytest.raises(AllocationError, match=r"any IPv6 IP address .* all IP addresses used out"):
        _chosen(pools, free)
    assert str(free["a"].first()) == "10.244.0.1"


def test_the_default_route_comes_with_the_gateway_unless_the_request_cleans_it(tmp_path: Path) -> None:
    route = {"dst": "172.16.0.0/12", "gw": "10.244.0.2"}
    manifest = pool("a", "10.244.0.9", gateway="10.244.0.1", routes=[route], vlan=7, default=True)
    pools = _pools(tmp_path, manifest)
    free = free_addresses(pools.values(), [], [])
    lease = Lease(4, "10.244.0.9", 16, "a", "10.244.0.1", 7, [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}, {**route}])  # type: ignore[typeddict-item]
    assert _chosen(pools, free) == [lease]
    assert _chosen(pools, free, cleanGateway=True) == [lease._replace(routes=lease.routes[1:])]
