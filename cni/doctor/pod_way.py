"""The way of a pod's addresses from its annotation to the router, link by link: --pod. Pure.

The first broken link is the one to mend. What is not known of a link says why.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple

from cni.contracts.api_objects import Pod
from cni.contracts.route_facts import Bird, Router
from cni.contracts.spiderpool_objects import SpiderEndpoint, SpiderIPPool
from cni.doctor import sessions, verdict
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.pool_choice import ANNOTATIONS, chosen_pools, refusal
from cni.doctor.ranges import network, pool_ranges

State = Literal["ok", "broken", "not known"]

USES = {
    "node.name",
    "node.bird",
    "node.bird6",
    "node.local_addresses",
    "cluster.pods",
    "cluster.namespaces",
    "cluster.spider_ip_pools",
    "cluster.spider_endpoints",
    "cluster.block_affinities",
    "cluster.bgp_filters",
    "cluster.cluster_informations",
    "cluster.router",
    *sessions.NEEDS,
}


class Link(NamedTuple):
    """One link of the way."""

    name: str
    state: State
    text: str


def find_pod(facts: FactReader, name: str) -> Pod | None:
    """Return the pod NAMESPACE/NAME; None if there is none. NotKnown."""
    pods: list[Pod] = facts.value("cluster.pods")
    return next((pod for pod in pods if _name(pod) == name), None)


def way(facts: FactReader, pod: Pod) -> Iterator[Link]:
    """Yield the links of a pod's way, in their order."""
    yield from _made(facts, pod, "pools", _pools)
    yield from _made(facts, pod, "SpiderEndpoint", _endpoint)
    yield from _made(facts, pod, "pod", _status)
    for address in _addresses(pod):
        for name, look in _OF_ADDRESS.items():
            yield from _made(facts, pod, f"{address}: {name}", partial(look, address))


def _made(
    facts: FactReader, pod: Pod, name: str, look: Callable[[FactReader, Pod], Iterator[tuple[bool, str]]]
) -> Iterator[Link]:
    try:
        for is_ok, text in look(facts, pod):
            yield Link(name, "ok" if is_ok else "broken", text)
    except NotKnown as reason:
        yield Link(name, "not known", str(reason))


def _pools(facts: FactReader, pod: Pod) -> Iterator[tuple[bool, str]]:
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    known = {pool["metadata"]["name"]: pool for pool in pools}
    if pod.get("spec", {}).get("hostNetwork"):
        yield False, "the pod is in the node's own network, so it gets no address"
        return
    choices = {family: choice for family in (4, 6) if (choice := chosen_pools(facts, pod, family))}
    if not choices:
        keys = [key for key in ANNOTATIONS if key in pod["metadata"].get("annotations", {})]
        yield False, f"the pod's annotation {keys[0]} names no pool for eth0" if keys else "no pool is chosen for it"
    for family, choice in choices.items():
        reasons = {name: refusal(known.get(name), pod, family) for name in choice.names}
        taken = [name for name, reason in reasons.items() if not reason]
        words = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
        left = f"; not {', '.join(words)}" if words else ""
        yield bool(taken), f"IPv{family} by {choice.by}: {', '.join(taken) or 'no pool'}{left}"


def _endpoint(facts: FactReader, pod: Pod) -> Iterator[tuple[bool, str]]:
    endpoints: list[SpiderEndpoint] = facts.value("cluster.spider_endpoints")
    metadata = pod["metadata"]
    for one in endpoints:
        if (one["metadata"].get("namespace"), one["metadata"]["name"]) == (metadata.get("namespace"), metadata["name"]):
            current = one.get("status", {}).get("current", {})
            ips = [ip for each in current.get("ips", []) for ip in (each.get("ipv4"), each.get("ipv6")) if ip]
            is_its = current.get("uid", "") in ("", metadata.get("uid", ""))
            yield bool(ips) and is_its, f"{', '.join(ips) or 'no address'}{'' if is_its else ', of a former pod'}"
            return
    yield False, "there is none: SpiderPool has given this pod nothing"


def _status(_: FactReader, pod: Pod) -> Iterator[tuple[bool, str]]:
    addresses, status = _addresses(pod), pod.get("status", {})
    node = pod.get("spec", {}).get("nodeName", "no node")
    yield bool(addresses), f"{status.get('phase', 'unknown')} on {node}, {', '.join(addresses) or 'without an address'}"


def _pool_of(address: str, facts: FactReader, _: Pod) -> Iterator[tuple[bool, str]]:
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    host = ipaddress.ip_address(address)
    names = [
        f"SpiderIPPool/{pool['metadata']['name']}"
        for pool in pools
        if any(one.overlaps(network(str(host))) for one in pool_ranges(pool))
    ]
    yield bool(names), ", ".join(names) or "no SpiderIPPool has it: another IPAM has given it"


def _on_node(address: str, facts: FactReader, pod: Pod) -> Iterator[tuple[bool, str]]:
    _require_here(facts, pod)
    local = [one for one in facts.value("node.local_addresses") if one["address"] == address]
    yield bool(local), "the runtime knows it" if local else "the runtime has no attachment with it"


def _verdict(address: str, facts: FactReader, pod: Pod) -> Iterator[tuple[bool, str]]:
    for session, said in verdict.of_address(sessions.calico(facts), pod.get("spec", {}).get("nodeName", ""), address):
        to = f"to {session.address}: " if session else ""
        yield said.is_exported, f"{to}{said.text}{f' ({said.object})' if said.object else ''}"


def _session(address: str, facts: FactReader, pod: Pod) -> Iterator[tuple[bool, str]]:
    _require_here(facts, pod)
    bird: Bird = facts.value("node.bird6" if ":" in address else "node.bird")
    if bird["fault"]:
        yield False, bird["fault"]
    for protocol in bird["protocols"]:
        is_up = protocol["state"] == "Established"
        is_told = any(one["prefix"] == str(network(address)) for one in protocol["exported"])
        told = "exports it" if is_told else "does not export it"
        error = f" ({protocol['last_error']})" if protocol["last_error"] else ""
        yield is_up and is_told, f"{protocol['name']} is {protocol['state']}{error}, and {told}"


def _router(address: str, facts: FactReader, _: Pod) -> Iterator[tuple[bool, str]]:
    router: Router = facts.value("cluster.router")
    hops = router["routes"].get(str(network(address)), [])
    yield bool(hops), f"via {', '.join(hops)}" if hops else "it has no such route"


_OF_ADDRESS: Mapping[str, Callable[[str, FactReader, Pod], Iterator[tuple[bool, str]]]] = {
    "pool": _pool_of,
    "node": _on_node,
    "export": _verdict,
    "BIRD": _session,
    "router": _router,
}


def _require_here(facts: FactReader, pod: Pod) -> None:
    node = pod.get("spec", {}).get("nodeName", "")
    if facts.value("node.name") != node:
        raise NotKnown(f"run doctor on {node} to see it")


def _addresses(pod: Pod) -> list[str]:
    return [one["ip"] for one in pod.get("status", {}).get("podIPs", [])]


def _name(pod: Pod) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"
