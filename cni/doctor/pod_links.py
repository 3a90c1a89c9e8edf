"""What is to be seen of each link of a pod's way in Kubernetes and SpiderPool, before those of its addresses. Pure.

What is seen names the checks that may have found what broke the link, and the objects that they found it of.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cni.contracts.api_objects import Pod
from cni.contracts.pool_annotations import IPPOOL, IPPOOLS, OF_CONFLIST, SUBNET, SUBNETS
from cni.contracts.spiderpool_objects import SpiderEndpoint, SpiderIPPool
from cni.doctor import pool_filters, subjects
from cni.doctor.allocations import allocations
from cni.doctor.facts import FactReader
from cni.doctor.pool_names import ETH0, AnnotationError
from cni.doctor.pool_selection import Choice, choices, told_by
from cni.doctor.ranges import network, pool_ranges

# The checks that find why SpiderPool was not asked, or has not answered.
_NOT_ASKED = (
    "sp-multus-network",
    "node-agent",
    "sp-agents",
    "node-installed",
    "node-conflist",
    "node-plugin-ours",
    "node-plugin-answers",
)
_LEFT = ("sp-leaked", "sp-controller")
_ANOTHER_IPAM = ("node-installed", "node-conflist", "sp-wrong-address", "sp-duplicates")
AFTER_US = ("calico-annotations", "node-chain-binaries", "node-calico-nodename", "node-calico-token")


class Seen(NamedTuple):
    """What is seen of a link."""

    is_ok: bool
    text: str
    checks: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


def _pools(facts: FactReader, pod: Pod) -> Iterator[Seen]:
    """Yield which pools are chosen for a pod, and why others are not. NotKnown."""
    for fact in ("cluster.namespaces", "cluster.nodes"):
        facts.value(fact)  # whose labels decide, too
    subject, around = subjects.of_pod(pod), pool_filters.surroundings(facts)
    key = told_by(subject, around)
    checks = ("sp-annotations",) if key else ("sp-default-pool",)
    about = (*_owners(pod), f"Namespace/{subject.namespace}", "SpiderIPPools")
    try:
        chosen = choices(subject, around)
    except AnnotationError as error:
        yield Seen(False, f"{_by(error.key)}: {error}", checks, about)
        return
    if key in (SUBNETS, SUBNET):
        yield Seen(True, f"{_by(key)}: those that SpiderPool makes out of the SpiderSubnet", checks, about)
    elif not any(one.interface == ETH0 for one in chosen):
        unknown = "" if facts.value_or("node.conflist", None) else " (what the conflist may name is not known)"
        nobody = f"no annotation names one, and none is the default{unknown}"
        yield Seen(False, f"{_by(key)}: none for {ETH0}" if key else nobody, checks, about)
    for one in chosen:
        if one.interface == ETH0 or (one.candidates and not one.taken):  # which SpiderPool refuses all of the pod for
            named = (f"SpiderIPPool/{each.name}" for each in one.candidates)
            yield Seen(bool(one.taken), _told(one), checks, (*about, *named))


def _by(key: str) -> str:
    if not key:
        return "by default"
    if key in OF_CONFLIST.values():
        return f"by the conflist's {key}"
    whose = "pod" if key in (IPPOOL, IPPOOLS, SUBNET, SUBNETS) else "namespace"
    return f"by the {whose}'s annotation {key}"


def _told(one: Choice) -> str:
    whose = "" if one.interface == ETH0 else f"{one.interface or 'another interface'}: "
    refused = ", ".join(f"{each.name} ({each.reason})" for each in one.candidates if each.reason)
    taken = ", ".join(one.taken) or ("no pool" if one.candidates else "no pool matches")
    others = ", ".join(each.name for each in one.candidates if not each.reason and not one.taken)
    left = f"{f'; not {refused}' if refused else ''}{f', and so not {others} either' if others else ''}"
    return f"{whose}IPv{one.family} {_by(one.key)}: {taken}{left}"


def _owners(pod: Pod) -> list[str]:
    """Return the names that a finding may have for a pod: its own, and those of what has made it."""
    namespace = pod["metadata"].get("namespace", "")
    owners = [(one["kind"], one["name"]) for one in pod["metadata"].get("ownerReferences", [])]
    owners += [("Deployment", name.rpartition("-")[0]) for kind, name in owners if kind == "ReplicaSet"]
    return [f"Pod/{name_of(pod)}", *(f"{kind}/{namespace}/{name}" for kind, name in owners)]


def _records(facts: FactReader, pod: Pod) -> Iterator[Seen]:
    """Yield whether SpiderPool has the pod's addresses written down in its pools. NotKnown."""
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    records = list(allocations(pools))
    own = {str(one.address): one for one in records if one.pod == name_of(pod)}
    others = {str(one.address): one.pod for one in records if one.pod != name_of(pod)}
    uid = pod["metadata"].get("uid", "")
    for address, one in own.items():
        is_its = not uid or one.uid in ("", uid)
        before = "" if is_its else ", of a former pod of this name"
        yield Seen(is_its, f"{one.pool} has {address} for it{before}", _LEFT, (name_of(pod), address))
    for address in addresses_of(pod):
        if address not in own:
            text, about = _not_given(address, pools, others), (*_owners(pod), name_of(pod), address)
            yield Seen(False, text, _ANOTHER_IPAM if address not in others else ("sp-duplicates",), about)
    if not own and not addresses_of(pod):
        about = (*_owners(pod), name_of(pod), f"Node/{node_of(pod)}", *_only_pool(facts, pod))
        yield Seen(False, "no pool has an address for it", ("sp-pool-full", *_NOT_ASKED), about)


def _not_given(address: str, pools: Sequence[SpiderIPPool], others: Mapping[str, str]) -> str:
    if address in others:
        return f"{address} was given to {others[address]}"
    names = ", ".join(pools_of(address, pools))
    return f"{names} has no record of {address}" if names else f"no pool has {address}: another IPAM has given it"


def pools_of(address: str, pools: Sequence[SpiderIPPool]) -> list[str]:
    """Return the names of the pools that an address is in."""
    host = network(str(ipaddress.ip_address(address)))
    return [pool["metadata"]["name"] for pool in pools if any(one.overlaps(host) for one in pool_ranges(pool))]


def _only_pool(facts: FactReader, pod: Pod) -> list[str]:
    """Return the pool that the pod waits for, if that is full: where there are others, it is not to blame."""
    try:
        found = choices(subjects.of_pod(pod), pool_filters.surroundings(facts))
    except AnnotationError:
        return []
    return [f"SpiderIPPool/{one.taken[0]}" for one in found if len(one.taken) == 1]


def _endpoint(facts: FactReader, pod: Pod) -> Iterator[Seen]:
    """Yield what SpiderPool has given to the pod, by its SpiderEndpoint. NotKnown."""
    endpoints: list[SpiderEndpoint] = facts.value("cluster.spider_endpoints")
    metadata, about = pod["metadata"], (name_of(pod), f"Node/{node_of(pod)}")
    for one in endpoints:
        if (one["metadata"].get("namespace"), one["metadata"]["name"]) == (metadata.get("namespace"), metadata["name"]):
            current = one.get("status", {}).get("current", {})
            ips = [ip for each in current.get("ips", []) for ip in (each.get("ipv4"), each.get("ipv6")) if ip]
            is_its = current.get("uid", "") in ("", metadata.get("uid", ""))
            text = f"{', '.join(ips) or 'no address'}{'' if is_its else ', of a former pod of this name'}"
            yield Seen(bool(ips) and is_its, text, _LEFT, about)
            return
    yield Seen(False, "there is none: SpiderPool has given this pod nothing", (*_LEFT, *_NOT_ASKED), about)


def _status(_: FactReader, pod: Pod) -> Iterator[Seen]:
    """Yield what the pod's status says."""
    found, phase = addresses_of(pod), pod.get("status", {}).get("phase", "unknown")
    text = f"{phase} on {node_of(pod)}, {', '.join(found) or 'without an address'}"
    yield Seen(bool(found), text, AFTER_US, tuple(_owners(pod)))


OF_POD: Mapping[str, Callable[[FactReader, Pod], Iterator[Seen]]] = {
    "pools": _pools,
    "SpiderIPPool": _records,
    "SpiderEndpoint": _endpoint,
    "pod": _status,
}


def addresses_of(pod: Pod) -> list[str]:
    """Return the addresses that the pod's status has."""
    return [one["ip"] for one in pod.get("status", {}).get("podIPs", [])]


def name_of(pod: Pod) -> str:
    """Return NAMESPACE/NAME."""
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def node_of(pod: Pod) -> str:
    """Return the name of the pod's node; "" where it has none yet."""
    return pod.get("spec", {}).get("nodeName", "")
