"""Checks of Calico's IPPools: whether they cover SpiderPool's ranges, and let BIRD export them. Pure."""

from collections.abc import Iterator

from cni.contracts.calico_objects import IPPool
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor import suggest
from cni.doctor.check import Check, Finding, Mend
from cni.doctor.facts import FactReader
from cni.doctor.ranges import Network, is_subnet, network, pool_ranges, uncovered

NEEDS = ("cluster.spider_ip_pools", "cluster.ip_pools")


def _find_covers(facts: FactReader) -> Iterator[Finding]:
    pools: list[IPPool] = facts.value("cluster.ip_pools")
    spider_pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    networks = [network(pool["spec"]["cidr"]) for pool in pools]
    for spider_pool in spider_pools:
        for wanted in pool_ranges(spider_pool):
            left = [str(one) for one in uncovered(wanted, networks)]
            if left:
                seen = f"{', '.join(left)} of its range {wanted} is in no IPPool"
                if left == [str(wanted)]:
                    seen = f"its range {wanted} is in no IPPool"
                name = f"SpiderIPPool/{spider_pool['metadata']['name']}"
                yield Finding(name, seen, _covering(facts, network(spider_pool["spec"]["subnet"]), pools))


def _covering(facts: FactReader, subnet: Network, pools: list[IPPool]) -> Mend | None:
    """Return how to have a pool cover a subnet; None where that is not for a program to say."""
    overlapping = [pool for pool in pools if network(pool["spec"]["cidr"]).overlaps(subnet)]
    if not overlapping:
        return suggest.ip_pool(subnet)
    affinities = facts.value_or("cluster.block_affinities", None)
    if affinities is None or any(network(one["spec"]["cidr"]).overlaps(subnet) for one in affinities):
        return None  # calico-ipam has given addresses out of it
    if not all(is_subnet(network(pool["spec"]["cidr"]), subnet) for pool in overlapping):
        return None
    return suggest.replacing(facts, [pool["metadata"]["name"] for pool in overlapping], suggest.ip_pool(subnet))


def _find_exports(facts: FactReader) -> Iterator[Finding]:
    pools: list[IPPool] = facts.value("cluster.ip_pools")
    spider_pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    for pool in pools:
        cidr = network(pool["spec"]["cidr"])
        inside = [one for one in spider_pools if any(wanted.overlaps(cidr) for wanted in pool_ranges(one))]
        if pool["spec"].get("disableBGPExport") and inside:
            names = ", ".join(f"SpiderIPPool/{one['metadata']['name']}" for one in inside)
            name = pool["metadata"]["name"]
            mend = suggest.patch(facts, "ippool", name, {"disableBGPExport": False})
            yield Finding(f"IPPool/{name}", f"its disableBGPExport is true, and its {cidr} overlaps {names}", mend)


CHECKS = (
    Check(
        id="calico-pool-covers",
        part="calico",
        severity="failure",
        looks_at="whether each range of each SpiderIPPool is in an IPPool",
        why="BIRD exports a pod's address only if an IPPool covers it, so outside nobody knows the way to the pod.",
        to_do=(
            "Make an IPPool whose cidr is the subnet of the SpiderPool. `disabled: true` keeps Calico's own IPAM from"
            " taking addresses out of it, and does not keep BIRD from exporting them. Calico does not let the cidr of"
            " an IPPool be changed: one that is too narrow has to be deleted and made anew."
        ),
        needs=NEEDS,
        uses=("cluster.api", "cluster.block_affinities"),
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
        to_do="Set disableBGPExport to false.",
        needs=NEEDS,
        uses=("cluster.api",),
        find=_find_exports,
        before_install=True,
        waits=True,
    ),
)
