"""Checks of the settings of the IPPools over SpiderPool's ranges that do not decide what is exported. Pure."""

from collections.abc import Iterator
from typing import Any

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import BlockAffinity, IPPool
from cni.doctor import calico_addresses, calico_node, sessions
from cni.doctor.calico_addresses import CalicoPool
from cni.doctor.calico_node import change_pool
from cni.doctor.check import Check, Finding
from cni.doctor.checks.calico_pools import NEEDS, USES
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.ranges import network
from cni.doctor.selector import SelectorError, matches

_IPIP_BY_FELIX = (3, 33)  # from this version on, BIRD leaves the routes of IPIP to Felix


def overlapping(facts: FactReader) -> Iterator[tuple[IPPool, list[CalicoPool]]]:
    """Yield the IPPools that have addresses of SpiderIPPools, and whose. NotKnown."""
    pools: list[IPPool] = facts.value("cluster.ip_pools")
    spider_pools = calico_addresses.pools(facts)
    for pool in pools:
        if inside := calico_addresses.overlapping(spider_pools, network(pool["spec"]["cidr"])):
            yield pool, inside


def encapsulation(pool: IPPool) -> str:
    """Return what a pool says of tunnels, as "vxlanMode is Always"; "" for none."""
    modes = {"ipipMode": pool["spec"].get("ipipMode", ""), "vxlanMode": pool["spec"].get("vxlanMode", "")}
    return " and ".join(f"{key} is {mode}" for key, mode in modes.items() if mode not in ("", "Never"))


def _find_disabled(facts: FactReader) -> Iterator[Finding]:
    nodes: list[Node] | None = facts.value_or("cluster.nodes", None)
    affinities: list[BlockAffinity] = facts.value_or("cluster.block_affinities", [])
    blocks = [network(one["spec"]["cidr"]) for one in affinities]
    for pool, inside in overlapping(facts):
        if not _gives_addresses(pool, nodes):
            continue
        ranges = [wanted for one in inside for wanted in one.usable]
        name, cidr = pool["metadata"]["name"], pool["spec"]["cidr"]
        taken = [one for one in blocks if one.overlaps(network(cidr)) and any(map(_overlaps(one), ranges))]
        seen = f"Calico's own IPAM may give addresses of {calico_addresses.names(inside)} out of it"
        mend = change_pool(facts, pool, {"disabled": True}, {"disableNewAllocations": True})
        if taken:
            seen += f", and has taken the block{'s' * (len(taken) > 1)} {', '.join(map(str, taken))}"
            yield Finding(f"IPPool/{name}", seen, mend, severity="failure", cause="calico-blocks")
        else:
            yield Finding(f"IPPool/{name}", seen, mend)


def _overlaps(block: Any) -> Any:
    return lambda wanted: wanted.overlaps(block)


def _gives_addresses(pool: IPPool, nodes: list[Node] | None) -> bool:
    """Tell whether calico-ipam takes addresses out of a pool by itself: for a pod or a tunnel, on any node.

    As in Calico's determinePools, a pod gets no address out of a pool with assignmentMode Manual unless the pod names
    that pool. calico-node names the pools that it takes the addresses of its tunnels from.
    """
    spec = pool["spec"]
    uses = {"Workload", "Tunnel"} & set(spec.get("allowedUses") or ["Workload", "Tunnel"])
    if spec.get("assignmentMode") == "Manual":
        uses.discard("Workload")
    if spec.get("disabled") or not uses:
        return False
    try:
        selected = (matches(spec.get("nodeSelector", ""), node["metadata"].get("labels", {})) for node in nodes or [])
        return nodes is None or any(selected)
    except SelectorError:
        return True


def _find_encapsulation(facts: FactReader) -> Iterator[Finding]:
    if _felix_knows_pods(facts):
        return
    configurations = facts.value_or("cluster.bgp_configurations", None)
    has_mesh = configurations is not None and sessions.Calico([], configurations=configurations).has_mesh
    version = calico_node.version(facts)
    for pool, _ in overlapping(facts):
        seen = encapsulation(pool)
        if not seen:
            continue
        by_felix = "vxlanMode" in seen or version == (0, 0) or version >= _IPIP_BY_FELIX
        mend = change_pool(facts, pool, {"ipipMode": "Never", "vxlanMode": "Never"}, {"encapsulation": "None"})
        if has_mesh and by_felix:
            seen += ", and the mesh is on"
            yield Finding(f"IPPool/{pool['metadata']['name']}", seen, mend, severity="failure")
        else:
            yield Finding(f"IPPool/{pool['metadata']['name']}", seen, mend)


def _felix_knows_pods(facts: FactReader) -> bool:
    """Tell whether Felix is known to make the routes of tunnels on all nodes, for pods that are in no block, too."""
    try:
        settings = calico_node.felix_settings(facts)
        return all(calico_node.knows_pods(calico_node.route_source(facts, one)) for _, one in settings)
    except NotKnown:
        return False


def _find_nat(facts: FactReader) -> Iterator[Finding]:
    for pool, _ in overlapping(facts):
        if pool["spec"].get("natOutgoing"):
            mend = change_pool(facts, pool, {"natOutgoing": False}, {"natOutgoing": "Disabled"})
            yield Finding(f"IPPool/{pool['metadata']['name']}", "its natOutgoing is true", mend)


CHECKS = (
    Check(
        id="calico-pool-disabled",
        part="calico",
        severity="warning",
        looks_at="whether Calico's own IPAM may take addresses out of an IPPool over SpiderPool's ranges",
        why=(
            "Two IPAMs that give addresses out of one range give the same address twice. And a block that Calico's own"
            " IPAM takes there makes its node drop what is for the other nodes' pods."
        ),
        to_do=(
            "Set `disabled: true` in the IPPool (`disableNewAllocations` where the operator holds it). BIRD exports"
            " what is in it all the same. `calicoctl ipam check` then says of SpiderPool's pods that they are in no"
            " active pool: that is so, and no fault. SpiderPool up to 1.2.2 leaves a disabled pool out of the"
            " overlayPodCIDR of SpiderCoordinator, which matters to chains with `coordinator` only."
        ),
        needs=NEEDS,
        uses=(*USES, "cluster.nodes", "cluster.block_affinities"),
        find=_find_disabled,
        before_install=True,
    ),
    Check(
        id="calico-pool-encap",
        part="calico",
        severity="warning",
        looks_at="ipipMode and vxlanMode of the IPPools over SpiderPool's ranges",
        why=(
            "BIRD leaves the routes to other nodes' pods of a VXLAN pool to Felix (from Calico 3.33 on, of an IPIP"
            " pool, too), and Felix learns them from blocks, which SpiderPool's addresses have none of. So nodes have"
            " no way to each other's pods but by the router; with the mesh on, the router may send a packet to a node"
            " that sends it back."
        ),
        to_do=(
            "Set both to Never (`encapsulation: None` where the operator holds the pool): BGP needs no tunnel. If you"
            " need one, set Felix' routeSource to WorkloadIPs on all nodes: then Felix knows every pod."
        ),
        needs=NEEDS,
        uses=(*USES, "cluster.bgp_configurations", "cluster.cluster_informations", "cluster.felix_configurations"),
        find=_find_encapsulation,
        before_install=True,
    ),
    Check(
        id="calico-nat",
        part="calico",
        severity="information",
        looks_at="natOutgoing of the IPPools over SpiderPool's ranges",
        why="With it, who is outside of all IPPools sees the node's address in the place of the pod's.",
        to_do="Set it to false where the pods' own addresses are to be seen, which the router has routes to.",
        needs=NEEDS,
        uses=USES,
        find=_find_nat,
    ),
)
