"""Checks of calico-ipam's blocks among SpiderPool's addresses. Pure."""

from collections.abc import Iterator, Mapping

from cni.contracts.calico_objects import BlockAffinity, IPAMBlock
from cni.contracts.facts import Api
from cni.doctor import calico_addresses
from cni.doctor.check import Check, Finding, Mend, command, in_turn
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network


def _find_blocks(facts: FactReader) -> Iterator[Finding]:
    affinities: list[BlockAffinity] = facts.value("cluster.block_affinities")
    blocks: list[IPAMBlock] | None = facts.value_or("cluster.ip_blocks", None)
    spider_pools = calico_addresses.pools(facts)
    api: Api | None = facts.value_or("cluster.api", None)
    group = api["calico"].partition("/")[0] if api else ""
    for affinity in affinities:
        cidr = network(affinity["spec"]["cidr"])
        inside = calico_addresses.overlapping(spider_pools, cidr)
        if not inside or str(affinity["spec"].get("deleted", "false")).lower() == "true":
            continue
        block = next((one for one in blocks or [] if network(one["spec"]["cidr"]) == cidr), None)
        names = calico_addresses.names(inside)
        seen = f"{affinity['spec'].get('node', 'a node')} has the block {cidr}, which overlaps {names}"
        holders = _holders(block) if block else {}
        if holders:
            seen += f"; its addresses are held by {', '.join(holders)}"
        # An aggregated API server lets nobody delete them, and does not serve blocks, so it is not asked to.
        mend = _mend(affinity, block, holders, group if blocks is not None else "")
        yield Finding(f"BlockAffinity/{affinity['metadata']['name']}", seen, mend)


def _holders(block: IPAMBlock) -> Mapping[str, Mend | None]:
    """Return who holds addresses of a block, in words, and the command that has each let go of them."""
    attributes = block["spec"].get("attributes", [])
    held = {index for index in block["spec"].get("allocations", []) if index is not None}
    found: dict[str, Mend | None] = {}
    for index in sorted(held):
        told = (attributes[index].get("secondary") or {}) if 0 <= index < len(attributes) else {}
        namespace, pod = told.get("namespace", ""), told.get("pod", "")
        if namespace and pod:
            found[f"{namespace}/{pod}"] = command("kubectl -n {} delete pod {}", namespace, pod)
        else:
            found[told.get("type", "somebody else")] = None
    return found


def _mend(
    affinity: BlockAffinity, block: IPAMBlock | None, holders: Mapping[str, Mend | None], group: str
) -> Mend | None:
    """Return the next step: the pods have to go before the block can. `group` is the API's; "" where none deletes."""
    if ends := [one for one in holders.values() if one]:
        return in_turn(ends)
    if holders or not group:
        return None
    deletes = [command("kubectl delete blockaffinities.{} {}", group, affinity["metadata"]["name"])]
    if block:
        deletes.append(command("kubectl delete ipamblocks.{} {}", group, block["metadata"]["name"]))
    return in_turn(deletes)


CHECKS = (
    Check(
        id="calico-blocks",
        part="calico",
        severity="failure",
        looks_at="blocks of Calico's own IPAM among the addresses of SpiderIPPools, and who holds addresses in them",
        why=(
            "A node that has a block tells the router of the block as a whole, and drops what comes for those of its"
            " addresses that are on other nodes. And Calico's own IPAM gives addresses of it to others."
        ),
        to_do=(
            "Set `disabled: true` in the IPPool, so that no new block is taken. Then restart the pods that hold"
            " addresses of it. kube-controllers frees a block that is empty; otherwise delete it, and its affinity."
        ),
        needs=(*calico_addresses.NEEDS, "cluster.block_affinities"),
        uses=(*calico_addresses.USES, "cluster.ip_blocks", "cluster.api"),
        find=_find_blocks,
        before_install=True,
        waits=True,
    ),
)
