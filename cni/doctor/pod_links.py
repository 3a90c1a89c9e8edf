"""What is to be seen of each link of a pod's way: of the pod in Kubernetes and SpiderPool, and of its addresses. Pure.

What is seen names the checks that may have found what broke the link, and the objects that they found it of.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cni.contracts.api_objects import Node, Pod
from cni.contracts.facts import LocalAddress
from cni.contracts.pool_annotations import IPPOOL, IPPOOLS, OF_CONFLIST, SUBNET, SUBNETS
from cni.contracts.route_facts import Bird, PodInterface, Router
from cni.contracts.spiderpool_objects import SpiderEndpoint, SpiderIPPool
from cni.doctor import pool_filters, sessions, subjects, verdict
from cni.doctor.allocations import allocations
from cni.doctor.checks.node_bird import CAUSES, sessions_of
from cni.doctor.facts import FactReader, NotKnown
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
_AFTER_US = ("calico-annotations", "node-chain-binaries", "node-calico-nodename", "node-calico-token")


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
    names = ", ".join(_pools_of(address, pools))
    return f"{names} has no record of {address}" if names else f"no pool has {address}: another IPAM has given it"


def _pools_of(address: str, pools: Sequence[SpiderIPPool]) -> list[str]:
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
    yield Seen(bool(found), text, _AFTER_US, tuple(_owners(pod)))


def _on_node(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    _require_here(facts, pod)
    local: list[LocalAddress] = facts.value("node.local_addresses")
    interfaces: list[PodInterface] = facts.value_or("node.pod_interfaces", [])
    if not any(one["address"] == address for one in local):
        pools = facts.value_or("cluster.spider_ip_pools", None)
        if pools is not None and not _pools_of(address, pools):
            raise NotKnown("another IPAM has given it, whose attachments doctor does not read")
        yield Seen(False, "our plugin has no attachment with it", _AFTER_US)
        return
    found = next((one for one in interfaces if one["address"] == address), None)
    name = found["interface"] if found else ""
    is_ok = not found or (bool(name) and found["is_up"] and found["proxy_arp"] is not False)
    state = "" if is_ok else ", which is not as Calico makes it"
    leads = f"its host route leads to {name}{state}" if name else "there is no host route to it"
    yield Seen(is_ok, f"the runtime has attached it{f', and {leads}' if found else ''}", ("node-cali",), (address,))


def _exported(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    node, pools = node_of(pod), facts.value_or("cluster.spider_ip_pools", [])
    about = (f"Node/{node}", *(f"SpiderIPPool/{name}" for name in _pools_of(address, pools)))
    for session, said in verdict.of_address(sessions.calico(facts), node, address):
        to = f"to {session.address}: " if session else ""
        text = f"{to}{said.text}{f' ({said.object})' if said.object else ''}"
        cause = CAUSES.get(said.rule, "")
        checks = ("bgp-node-address", cause) if said.rule == "no-session" else (cause,)
        yield Seen(said.is_exported, text, checks, (said.object, *about) if said.object else about)


def _told_by_bird(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    _require_here(facts, pod)
    bird: Bird = facts.value("node.bird6" if ":" in address else "node.bird")
    if bird["fault"]:
        yield Seen(False, bird["fault"], ("node-bird",), (bird["socket"],))
    for protocol in sessions_of(bird):
        is_up = protocol["state"] == "Established"
        is_told = any(one["prefix"] == str(network(address)) for one in protocol["exported"])
        told = f", and {'exports it' if is_told else 'does not export it'}" if is_up else ""
        error = f" ({protocol['last_error']})" if protocol["last_error"] else ""
        text = f"{protocol['name']} is {protocol['state']}{error}{told}"
        yield Seen(is_up and is_told, text, ("node-bird", "node-bird-exports"), (protocol["name"], address))


def _at_router(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    router: Router = facts.value("cluster.router")
    prefix = network(address)
    nodes: dict[str, Node] = {one["metadata"]["name"]: one for one in facts.value("cluster.nodes")}
    own = sessions.address(nodes[node_of(pod)], prefix.version) if node_of(pod) in nodes else ""
    neighbor = router["neighbors"].get(own)
    if not router["routes"] and not (neighbor and neighbor["prefixes_received"] == 0):
        raise NotKnown("the routes of the router were not given")
    hops = router["routes"].get(str(prefix), [])
    is_ok = bool(hops) and (not own or own in hops)
    away = "" if is_ok else f", and not {own}, where the pod is"
    text = f"via {', '.join(hops)}{away}" if hops else "it has no such route"
    yield Seen(is_ok, text, ("bgp-router-view",), (f"neighbor {own}", str(prefix)))


OF_POD: Mapping[str, Callable[[FactReader, Pod], Iterator[Seen]]] = {
    "pools": _pools,
    "SpiderIPPool": _records,
    "SpiderEndpoint": _endpoint,
    "pod": _status,
}
OF_ADDRESS: Mapping[str, Callable[[str, FactReader, Pod], Iterator[Seen]]] = {
    "node": _on_node,
    "export": _exported,
    "BIRD": _told_by_bird,
    "router": _at_router,
}


def _require_here(facts: FactReader, pod: Pod) -> None:
    if facts.value("node.name") != node_of(pod):
        raise NotKnown(f"run doctor on {node_of(pod)} to see it")


def addresses_of(pod: Pod) -> list[str]:
    """Return the addresses that the pod's status has."""
    return [one["ip"] for one in pod.get("status", {}).get("podIPs", [])]


def name_of(pod: Pod) -> str:
    """Return NAMESPACE/NAME."""
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def node_of(pod: Pod) -> str:
    """Return the name of the pod's node; "" where it has none yet."""
    return pod.get("spec", {}).get("nodeName", "")
