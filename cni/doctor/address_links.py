"""What is to be seen of each link of the way of a pod's address: on its node, in BIRD, at the router. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from cni.contracts.api_objects import Node, Pod
from cni.contracts.facts import LocalAddress
from cni.contracts.route_facts import Bird, PodInterface, Router
from cni.doctor import sessions, verdict
from cni.doctor.checks.node_bird import CAUSES, sessions_of
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.pod_links import AFTER_US, Seen, node_of, pools_of
from cni.doctor.ranges import network
from cni.doctor.sessions import Session
from cni.doctor.verdict import Verdict


def _on_node(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    _require_here(facts, pod)
    local: list[LocalAddress] = facts.value("node.local_addresses")
    interfaces: list[PodInterface] = facts.value_or("node.pod_interfaces", [])
    if not any(one["address"] == address for one in local):
        pools = facts.value_or("cluster.spider_ip_pools", None)
        if pools is not None and not pools_of(address, pools):
            raise NotKnown("another IPAM has given it, whose attachments doctor does not read")
        yield Seen(False, "our plugin has no attachment with it", AFTER_US)
        return
    found = next((one for one in interfaces if one["address"] == address), None)
    name = found["interface"] if found else ""
    is_ok = not found or (bool(name) and found["is_up"] and found["proxy_arp"] is not False)
    state = "" if is_ok else ", which is not as Calico makes it"
    leads = f"its host route leads to {name}{state}" if name else "there is no host route to it"
    yield Seen(is_ok, f"the runtime has attached it{f', and {leads}' if found else ''}", ("node-cali",), (address,))


def _exported(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    """Yield what becomes of the address: once for all sessions of the mesh, or of a BGPPeer, that are alike."""
    node, pools = node_of(pod), facts.value_or("cluster.spider_ip_pools", [])
    about = (f"Node/{node}", *(f"SpiderIPPool/{name}" for name in pools_of(address, pools)))
    alike: dict[tuple[str, Verdict], list[Session]] = {}
    for session, said in verdict.of_address(sessions.calico(facts), node, address):
        alike.setdefault((session.object if session else "", said), []).extend([session] if session else [])
    for (_, said), found in alike.items():
        to = f"to {_first([one.address for one in found])}: " if found else ""
        text = f"{to}{said.text}{f' ({said.object})' if said.object else ''}"
        cause = CAUSES.get(said.rule, "")
        checks = ("bgp-node-address", cause) if said.rule == "no-session" else (cause,)
        yield Seen(said.is_exported, text, checks, (said.object, *about) if said.object else about)


def _first(names: Sequence[str]) -> str:
    """Return the first of some names, and how many others there are: a mesh may have thousands."""
    return f"{names[0]} and {len(names) - 1:,} more" if len(names) > 1 else names[0]


def _told_by_bird(address: str, facts: FactReader, pod: Pod) -> Iterator[Seen]:
    """Yield what BIRD says of the address: once for all sessions of a kind that are alike."""
    _require_here(facts, pod)
    bird: Bird = facts.value("node.bird6" if ":" in address else "node.bird")
    if bird["fault"]:
        yield Seen(False, bird["fault"], ("node-bird",), (bird["socket"],))
    prefix = str(network(address))
    alike: dict[tuple[str, str, str, bool], list[str]] = {}
    for protocol in sessions_of(bird):
        is_told = any(one["prefix"] == prefix for one in protocol["exported"])
        kind = protocol["name"].partition("_")[0]  # Mesh, Global or Node
        alike.setdefault((kind, protocol["state"], protocol["last_error"], is_told), []).append(protocol["name"])
    for (_, state, last_error, is_told), names in alike.items():
        is_up, is_one = state == "Established", len(names) == 1
        does = ("exports" if is_one else "export") if is_told else f"{'does' if is_one else 'do'} not export"
        error = f" ({last_error})" if last_error else ""
        text = f"{_first(names)} {'is' if is_one else 'are'} {state}{error}{f', and {does} it' if is_up else ''}"
        yield Seen(is_up and is_told, text, ("node-bird", "node-bird-exports"), (names[0], address))


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


def _require_here(facts: FactReader, pod: Pod) -> None:
    if facts.value("node.name") != node_of(pod):
        raise NotKnown(f"run doctor on {node_of(pod)} to see it")


OF_ADDRESS: Mapping[str, Callable[[str, FactReader, Pod], Iterator[Seen]]] = {
    "node": _on_node,
    "export": _exported,
    "BIRD": _told_by_bird,
    "router": _at_router,
}
