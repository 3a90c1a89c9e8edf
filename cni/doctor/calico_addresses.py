"""Which of SpiderPool's addresses are for Calico's interfaces: of its pools, and of this node's attachments. Pure.

SpiderPool gives addresses to macvlan and others as well, which Calico and BIRD have no part in. A pool for these names
their networks in multusName, without the one of the cluster; an attachment has another network than Calico's conflist.
"""

from collections.abc import Iterable
from typing import NamedTuple

from cni.contracts.facts import Conflist, LocalAddress
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor import pool_filters, spiderpool_release
from cni.doctor.allocations import reserved_ranges, usable_ranges
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.pool_names import ETH0
from cni.doctor.ranges import Network, Range, network, pool_ranges

# The facts that `pools` reads. The others are for pools that name networks, and for what is taken off the ranges.
NEEDS = ("cluster.spider_ip_pools",)
USES = ("cluster.daemon_sets", "cluster.spider_reserved_ips")
_PLUGINS = {"calico", "multus"}  # Multus runs Calico's plugin for eth0


class CalicoPool(NamedTuple):
    """A SpiderIPPool, as far as it matters to Calico."""

    name: str  # for a finding
    subnet: Network
    named: list[Range]  # in its ips
    usable: list[Range]  # what SpiderPool gives of these


def pools(facts: FactReader) -> list[CalicoPool]:
    """Return the pools for Calico's interfaces. NotKnown."""
    reserved = reserved_ranges(facts.value_or("cluster.spider_reserved_ips", []))
    return [
        CalicoPool(
            f"SpiderIPPool/{one['metadata']['name']}",
            network(one["spec"]["subnet"]),
            pool_ranges(one),
            usable_ranges(one, reserved),
        )
        for one in _by_network(facts)[True]
    ]


def known_pools(facts: FactReader) -> list[CalicoPool] | None:
    """Return the same; None where they are not known."""
    try:
        return pools(facts)
    except NotKnown:
        return None


def other_pools(facts: FactReader) -> list[SpiderIPPool]:
    """Return the pools that are known to be for other networks."""
    try:
        return _by_network(facts)[False]
    except NotKnown:
        return []


def _by_network(facts: FactReader) -> dict[bool, list[SpiderIPPool]]:
    found: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    sorted_out: dict[bool, list[SpiderIPPool]] = {True: [], False: []}
    if any(one["spec"].get("multusName") for one in found):
        facts.value("cluster.daemon_sets")  # whose agent knows the network of the cluster
    own, namespace = pool_filters.cluster_network(facts), spiderpool_release.helm(facts).namespace
    for one in found:
        sorted_out[pool_filters.is_for_network(one, own, namespace)].append(one)
    return sorted_out


def overlapping(pools: Iterable[CalicoPool], cidr: Network) -> list[CalicoPool]:
    """Return the pools that give addresses of a network."""
    return [one for one in pools if any(part.overlaps(cidr) for part in one.usable)]


def names(pools: Iterable[CalicoPool]) -> str:
    """Return the names of pools for a finding."""
    return ", ".join(one.name for one in pools)


def families(pools: Iterable[CalicoPool]) -> list[int]:
    """Return the families of the addresses that pools give."""
    return sorted({part.first.version for one in pools for part in one.usable})


def of_node(facts: FactReader) -> list[LocalAddress]:
    """Return the addresses of Calico's interfaces on this node. NotKnown."""
    addresses: list[LocalAddress] = facts.value("node.local_addresses")
    conflist: Conflist | None = facts.value_or("node.conflist", None)
    of_eth0 = [one for one in addresses if one["interface"] == ETH0]
    if conflist is None:
        return of_eth0
    networks = {file["network"] for file in conflist["files"] if _PLUGINS & set(file["plugin_types"])}
    return [one for one in of_eth0 if one.get("network") in {None, *networks}]


def why_not(facts: FactReader, address: str) -> str:
    """Return why an address is none of Calico's; "" where nothing says so."""
    host = network(address)
    for pool in other_pools(facts):
        if any(part.overlaps(host) for part in pool_ranges(pool)):
            return f"SpiderIPPool/{pool['metadata']['name']} is for other networks than Calico's, by its multusName"
    local: list[LocalAddress] = facts.value_or("node.local_addresses", [])
    for one in local:
        if one["address"] == address and one["interface"] == ETH0 and one not in of_node(facts):
            return f"its network is {one.get('network')}, which is not Calico's"
    return ""
