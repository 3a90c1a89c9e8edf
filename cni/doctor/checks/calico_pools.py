"""Checks of Calico's IPPools: whether they cover SpiderPool's ranges, and let BIRD export them. Pure."""

from collections.abc import Iterator, Sequence

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import IPPool
from cni.doctor import calico_addresses, calico_node, sessions, suggest
from cni.doctor.check import Check, Finding, Mend
from cni.doctor.facts import FactReader
from cni.doctor.ranges import Network, address_of, is_subnet, network, uncovered

NEEDS = (*calico_addresses.NEEDS, "cluster.ip_pools")
USES = (*calico_addresses.USES, "cluster.api", "cluster.installations")


def _find_covers(facts: FactReader) -> Iterator[Finding]:
    pools: list[IPPool] = facts.value("cluster.ip_pools")
    networks = [network(pool["spec"]["cidr"]) for pool in pools]
    for spider_pool in calico_addresses.pools(facts):
        for named in spider_pool.named:
            usable = [one for one in spider_pool.usable if named.has(one.first)]
            left = [str(part) for one in usable for part in uncovered(one, networks)]
            if not left:
                continue
            seen = f"{', '.join(left)} of its range {named} is in no IPPool"
            if not any(named.overlaps(one) for one in networks):
                seen = f"its range {named} is in no IPPool"
            narrow = [pool for pool in pools if network(pool["spec"]["cidr"]).overlaps(spider_pool.subnet)]
            if not narrow:
                yield Finding(spider_pool.name, seen, _covering(facts, spider_pool.subnet))
            elif _is_replaceable(facts, narrow, spider_pool.subnet):
                names = [pool["metadata"]["name"] for pool in narrow]
                mend = suggest.replacing(facts, names, suggest.ip_pool(spider_pool.subnet))
                seen += f"; the routes to all pods in IPPool {', '.join(names)} are gone while the mend replaces it"
                yield Finding(spider_pool.name, seen, mend)
            else:
                yield Finding(spider_pool.name, seen)


def _covering(facts: FactReader, subnet: Network) -> Mend | None:
    """Return the IPPool that covers a subnet; None where nodes are in it: it may well be for another network."""
    nodes: list[Node] = facts.value_or("cluster.nodes", [])
    texts = [sessions.address(node, subnet.version) for node in nodes]
    own = [address for text in texts if (address := address_of(text))]
    return None if any(address in subnet for address in own) else suggest.ip_pool(subnet)


def _is_replaceable(facts: FactReader, narrow: Sequence[IPPool], subnet: Network) -> bool:
    """Tell whether one IPPool of a subnet may take the place of others: nobody else has a part in these."""
    affinities = facts.value_or("cluster.block_affinities", None)
    if affinities is None or any(network(one["spec"]["cidr"]).overlaps(subnet) for one in affinities):
        return False  # calico-ipam has given addresses out of it
    if facts.value_or("cluster.installations", None) is None:
        return False  # the operator may hold one of them
    cidrs = [pool["spec"]["cidr"] for pool in narrow]
    return all(is_subnet(network(one), subnet) and not calico_node.operators_pool(facts, one) for one in cidrs)


def _find_exports(facts: FactReader) -> Iterator[Finding]:
    pools: list[IPPool] = facts.value("cluster.ip_pools")
    spider_pools = calico_addresses.pools(facts)
    for pool in pools:
        cidr = network(pool["spec"]["cidr"])
        inside = calico_addresses.overlapping(spider_pools, cidr)
        if pool["spec"].get("disableBGPExport") and inside:
            seen = f"its disableBGPExport is true, and its {cidr} overlaps {calico_addresses.names(inside)}"
            mend = calico_node.change_pool(facts, pool, {"disableBGPExport": False}, {"disableBGPExport": False})
            yield Finding(f"IPPool/{pool['metadata']['name']}", seen, mend)


CHECKS = (
    Check(
        id="calico-pool-covers",
        part="calico",
        severity="failure",
        looks_at="whether each range of each SpiderIPPool for Calico's network is in an IPPool",
        why="BIRD exports a pod's address only if an IPPool covers it, so outside nobody knows the way to the pod.",
        to_do=(
            "Make an IPPool whose cidr is the subnet of the SpiderPool. `disabled: true` keeps Calico's own IPAM from"
            " taking addresses out of it, and does not keep BIRD from exporting them. Calico does not let the cidr of"
            " an IPPool be changed: one that is too narrow has to be deleted and made anew, and in between the routes"
            " to all pods in it are gone. One that the operator holds is changed in its Installation. A SpiderIPPool"
            " whose multusName names other networks than Calico's needs no IPPool."
        ),
        needs=NEEDS,
        uses=(*USES, "cluster.block_affinities", "cluster.nodes"),
        find=_find_covers,
        before_install=True,
        waits=True,
    ),
    Check(
        id="calico-pool-exports",
        part="calico",
        severity="failure",
        looks_at="disableBGPExport of every IPPool that overlaps a range of a SpiderIPPool",
        why="One such pool keeps BIRD from exporting what is in it, also beside a pool that covers it and exports.",
        to_do="Set disableBGPExport to false (in the Installation where the operator holds the pool).",
        needs=NEEDS,
        uses=USES,
        find=_find_exports,
        before_install=True,
        waits=True,
    ),
)
