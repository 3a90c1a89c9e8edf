"""Checks of single addresses: leaked ones, those that two have, and those that SpiderPool has not given. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from cni.contracts.api_objects import Node, Pod
from cni.contracts.calico_objects import IPAMBlock
from cni.contracts.facts import Conflist, Installation
from cni.contracts.pool_annotations import IPPOOL, IPPOOLS, SUBNET, SUBNETS
from cni.contracts.spiderpool_objects import SpiderEndpoint, SpiderIPPool
from cni.contracts.workload_objects import NodePod
from cni.doctor import node_pods, spiderpool_release, subjects
from cni.doctor.allocations import Allocation, allocations
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.checks.spiderpool_settings import seconds_between_rounds
from cni.doctor.facts import FactReader
from cni.doctor.pool_filters import DEFAULT_NETWORK
from cni.doctor.ranges import Address, address_of, network, pool_ranges

_KEEP_THEIRS = ("StatefulSet", "VirtualMachineInstance", "VirtualMachine")  # their pods come back for their addresses


def seconds(timestamp: str) -> float:
    """Return the Unix time of a timestamp of the API; 0 where it is none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0


def _name(pod: Pod) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def _delete(pod: Pod) -> Mend:
    return command("kubectl -n {} delete pod {}", pod["metadata"].get("namespace", ""), pod["metadata"]["name"])


def _find_leaked(facts: FactReader) -> Iterator[Finding]:
    pods = {_name(pod): pod for pod in facts.value("cluster.pods")}
    endpoints: list[SpiderEndpoint] = facts.value("cluster.spider_endpoints")
    by_name = {f"{one['metadata'].get('namespace', '')}/{one['metadata']['name']}": one for one in endpoints}
    not_ready = _not_ready(facts.value_or("cluster.nodes", []))
    two_rounds = 2 * seconds_between_rounds(facts)  # within one, the controller collects what is there
    release = spiderpool_release.helm(facts)
    controller = spiderpool_release.CONTROLLER
    restart = command("kubectl -n {} rollout restart deployment {}", release.namespace, controller)
    for one in allocations(facts.value("cluster.spider_ip_pools")):
        pod, endpoint = pods.get(one.pod), by_name.get(one.pod)
        reason, since = _leak(one, pod, endpoint, not_ready)
        name = f"SpiderIPPool/{one.pool} {one.address}"
        if reason and since == 0:
            yield Finding(name, f"{reason}; since when is not known", restart, severity="information")
        elif reason and facts.collected_at - since > two_rounds:
            yield Finding(name, reason, restart)


def _leak(one: Allocation, pod: Pod | None, endpoint: SpiderEndpoint | None, not_ready: set[str]) -> tuple[str, float]:
    """Return why nobody needs an address that is taken, and since when at the most; ("", 0) if somebody does."""
    current = endpoint.get("status", {}) if endpoint else {}
    if current.get("ownerControllerType") in _KEEP_THEIRS:
        return "", 0
    if pod is None:
        return f"it is taken for the pod {one.pod}, which is gone", _last_needed(endpoint)
    metadata = pod["metadata"]
    if one.uid and metadata.get("uid") and metadata["uid"] != one.uid:
        since = seconds(metadata.get("creationTimestamp", ""))
        return f"it is taken for an earlier pod of the name {one.pod}, of the UID {one.uid}", since
    node = pod.get("spec", {}).get("nodeName", "")
    if metadata.get("deletionTimestamp") and node in not_ready:
        since = seconds(metadata["deletionTimestamp"])
        return f"it is taken for the pod {one.pod}, which does not end, since Node/{node} is not Ready", since
    return "", 0


def _last_needed(endpoint: SpiderEndpoint | None) -> float:
    """Return when a pod that is gone was still there: the API deletes its SpiderEndpoint with it."""
    metadata = endpoint["metadata"] if endpoint else None
    return seconds(metadata.get("deletionTimestamp") or metadata.get("creationTimestamp", "")) if metadata else 0


def _not_ready(nodes: Iterable[Node]) -> set[str]:
    found = set()
    for node in nodes:
        conditions = node.get("status", {}).get("conditions", [])
        if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            found.add(node["metadata"]["name"])
    return found


def _find_duplicates(facts: FactReader) -> Iterator[Finding]:
    pods: list[Pod] = facts.value("cluster.pods")
    given = {(one.address, one.pod): one for one in allocations(facts.value("cluster.spider_ip_pools"))}
    holders: dict[Address, list[Pod]] = {}
    for pod in pods:
        for address in _addresses(pod):
            holders.setdefault(address, []).append(pod)
    nodes = dict(_node_addresses(facts.value_or("cluster.nodes", [])))
    blocks = dict(_block_addresses(facts.value_or("cluster.ip_blocks", [])))
    for address, whom in holders.items():
        if address in nodes:
            yield Finding(str(address), f"Pod/{_name(whom[0])} and {nodes[address]} have it", _delete(whom[0]))
        if len(whom) > 1:
            names = " and ".join(f"Pod/{_name(pod)}" for pod in whom)
            wrong = [pod for pod in whom if (address, _name(pod)) not in given]
            yield Finding(str(address), f"{names} have it", _delete((wrong or whom)[-1]))
    for (address, pod_name), one in given.items():
        if address in blocks:
            seen = (
                f"SpiderIPPool/{one.pool} has given it to {pod_name}, and calico-ipam has it taken in {blocks[address]}"
            )
            yield Finding(str(address), seen, cause="calico-blocks")


def _addresses(pod: Pod) -> set[Address]:
    """Return the addresses that a pod has for itself."""
    if not subjects.has_network(pod):
        return set()
    found = (address_of(one["ip"]) for one in pod.get("status", {}).get("podIPs", []))
    return {address for address in found if address}


def _node_addresses(nodes: Iterable[Node]) -> Iterator[tuple[Address, str]]:
    for node in nodes:
        for one in node.get("status", {}).get("addresses", []):
            if address := address_of(one["address"]):
                yield address, f"Node/{node['metadata']['name']}"


def _block_addresses(blocks: Iterable[IPAMBlock]) -> Iterator[tuple[Address, str]]:
    """Yield the addresses that calico-ipam has given, and their blocks."""
    for block in blocks:
        first = network(block["spec"]["cidr"]).network_address
        for number, index in enumerate(block["spec"].get("allocations", [])):
            if index is not None:
                yield first + number, f"IPAMBlock/{block['metadata']['name']}"


def _find_wrong(facts: FactReader) -> Iterator[Finding]:
    pods: list[Pod] = facts.value("cluster.pods")
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    ranges = [one for pool in pools for one in pool_ranges(pool)]
    given = {(one.address, one.pod) for one in allocations(pools)}
    swapped, undone = _swapped_since(facts), _undone(facts)
    for pod in pods:
        annotations = pod["metadata"].get("annotations", {}).keys()
        because = _why_ours(pod, annotations, swapped) if DEFAULT_NETWORK not in annotations else ""
        if not because:
            continue
        outside = [
            str(one)
            for one in _addresses(pod)
            if not any(part.has(one) for part in ranges) and (one, _name(pod)) not in given
        ]
        if outside:
            seen = f"{because}, and its {' and '.join(sorted(outside))} is in no SpiderIPPool"
            is_undone = bool(undone) and pod.get("spec", {}).get("nodeName", "") == undone
            mend, cause = (None, "node-conflist") if is_undone else (_delete(pod), "")
            yield Finding(f"Pod/{_name(pod)}", seen, mend, cause=cause)


def _undone(facts: FactReader) -> str:
    """Return the name of this node, if its conflist is not ours: a new pod would get such an address again."""
    conflist: Conflist | None = facts.value_or("node.conflist", None)
    is_wrong = conflist is not None and bool(conflist["fault"] or conflist["drift"] or conflist["loaded_before"])
    return str(facts.value_or("node.name", "")) if is_wrong else ""


def _why_ours(pod: Pod, annotations: Iterable[str], swapped: Mapping[str, float]) -> str:
    """Return why a pod's addresses should be SpiderPool's; "" if they need not be."""
    node = pod.get("spec", {}).get("nodeName", "")
    named = sorted({IPPOOL, IPPOOLS, SUBNET, SUBNETS} & set(annotations))
    if named:
        return f"it has the annotation {named[0]}"
    if node in swapped and seconds(pod["metadata"].get("creationTimestamp", "")) > swapped[node]:
        return f"it was made after Node/{node} was swapped"
    return ""


def _swapped_since(facts: FactReader) -> Mapping[str, float]:
    """Return since when nodes are surely swapped."""
    own_pods: list[NodePod] = facts.value_or("cluster.own_pods", [])
    found = {}
    for node, pod in node_pods.by_node(own_pods).items():
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] == "Ready" and condition["status"] == "True":
                found[node] = seconds(condition.get("lastTransitionTime") or "")
    installation: Installation | None = facts.value_or("node.installation", None)
    if installation and installation["state"] == "in force" and installation["swapped_at"]:
        found[facts.value_or("node.name", "")] = installation["swapped_at"]
    return {node: since for node, since in found.items() if since}


CHECKS = (
    Check(
        id="sp-leaked",
        part="spiderpool",
        severity="warning",
        looks_at="addresses that pools have taken for pods that are gone, or do not end, for two rounds of collection",
        why="Nobody uses these addresses, and nobody else gets them.",
        to_do=(
            "Restart spiderpool-controller: it looks at all records when it starts, and frees what no pod needs."
            " Its log tells why it leaves others."
        ),
        needs=("cluster.spider_ip_pools", "cluster.spider_endpoints", "cluster.pods"),
        uses=("cluster.nodes", "cluster.daemon_sets", "cluster.deployments"),
        find=_find_leaked,
        waits=True,
    ),
    Check(
        id="sp-duplicates",
        part="spiderpool",
        severity="failure",
        looks_at="addresses that two running pods have, or a pod and a node, or SpiderPool and calico-ipam both",
        why="Packets for such an address reach one of the two at best.",
        to_do="Delete the pod that SpiderPool's record does not name: it gets another address.",
        needs=("cluster.spider_ip_pools", "cluster.pods"),
        uses=("cluster.nodes", "cluster.ip_blocks"),
        find=_find_duplicates,
        waits=True,
    ),
    Check(
        id="sp-wrong-address",
        part="spiderpool",
        severity="failure",
        looks_at="the addresses of pods that are annotated for SpiderPool, or were made since their node was swapped",
        why="Another IPAM served these pods while the conflist was not ours: that is not what was asked for.",
        to_do="Delete these pods, once `node-conflist` is well: they are made anew, with addresses of SpiderPool's.",
        needs=("cluster.spider_ip_pools", "cluster.pods"),
        uses=(*node_pods.USES, "node.conflist"),
        find=_find_wrong,
        waits=True,
    ),
)
