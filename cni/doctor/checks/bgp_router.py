"""Checks of sessions by what others say of them: calico-node of each node, and the router. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from cni.contracts.api_objects import Node, Pod
from cni.contracts.calico_settings import CalicoNodeStatus
from cni.contracts.route_facts import Bird, Router
from cni.contracts.spiderpool_objects import SpiderEndpoint
from cni.doctor import calico_addresses, sessions, suggest
from cni.doctor.check import Check, Finding
from cni.doctor.checks.node_bird import CAUSES, ESTABLISHED
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.ranges import address_of, network
from cni.doctor.subjects import has_network
from cni.doctor.verdict import of_address

Home: TypeAlias = tuple[str, str]  # a node, and "NAMESPACE/NAME" of a pod on it
Homes: TypeAlias = Mapping[str, Home]

_SHOWN = 10  # findings of one kind
_HOST = ("/32", "/128")
_ASKING = (
    "for node in $(kubectl get nodes -o name | cut -d/ -f2); do printf '{apiVersion: GROUP, kind: CalicoNodeStatus,"
    " metadata: {name: %s}, spec: {node: %s, classes: [BGP], updatePeriodSeconds: 30}}\\n---\\n' $node $node; done"
    " | kubectl apply -f -"
)


def _find_sessions(facts: FactReader) -> Iterator[Finding]:
    statuses: list[CalicoNodeStatus] = facts.value("cluster.calico_node_statuses")
    if not statuses:
        raise NotKnown(f"calico-node was not asked to tell of them. To ask it: {_asking(facts)}")
    for one in statuses:
        bgp = one.get("status", {}).get("bgp", {})
        peers = [*bgp.get("peersV4", []), *bgp.get("peersV6", [])]
        # Of a session of the mesh and one of a BGPPeer with the same node, BIRD brings up one.
        up = {peer.get("peerIP") for peer in peers if peer.get("state", ESTABLISHED) == ESTABLISHED}
        for peer in peers:
            if peer.get("state", ESTABLISHED) != ESTABLISHED and peer.get("peerIP") not in up:
                seen = f"its session with {peer.get('peerIP', '')} is {peer['state']} since {peer.get('since', '')}"
                yield Finding(f"Node/{one['spec']['node']}", seen)


def _asking(facts: FactReader) -> str:
    """Return the command that makes a CalicoNodeStatus for each node. calicoctl does not know this kind."""
    group = "crd.projectcalico.org/v1" if suggest.tool(facts) == "calicoctl" else suggest.GROUP
    return _ASKING.replace("GROUP", group)


def _find_router(facts: FactReader) -> Iterator[Finding]:
    router: Router = facts.value("cluster.router")
    yield from _neighbors(facts, router)
    endpoints: list[SpiderEndpoint] | None = facts.value_or("cluster.spider_endpoints", None)
    if endpoints is not None:
        others = {one["metadata"]["name"] for one in calico_addresses.other_pools(facts)}
        homes = dict(_homes(_in_use(facts, endpoints), others))
        yield from _missing(facts, router, homes)
        yield from _wrong(facts, router, homes)
        yield from _stale(facts, router, homes)


def _neighbors(facts: FactReader, router: Router) -> Iterator[Finding]:
    for address, neighbor in router["neighbors"].items():
        if neighbor["peer_state"] == "Policy":
            number = router.get("as_number", "AS_NUMBER")
            # bgpd takes back no route that it has refused before, unless it asks for all of them again.
            lines = (
                "configure terminal",
                f"router bgp {number}",
                "no bgp ebgp-requires-policy",
                "do clear bgp * soft",
            )
            seen = f"its session is {neighbor['state']}, and its peerState is Policy: no route is taken or sent"
            yield Finding(f"neighbor {address}", seen, suggest.vtysh(lines))
        elif neighbor["state"] != ESTABLISHED:
            cause = "node-bird" if _has_dead_session(facts) else ""
            if _has_no_peer(facts, address):
                cause = "bgp-peer-per-node"
            yield Finding(f"neighbor {address}", f"its session is {neighbor['state']}", cause=cause)


def _has_no_peer(facts: FactReader, address: str) -> bool:
    """Tell whether this is the address of a node that has no session by Calico's objects."""
    family = found.version if (found := address_of(address)) else 0
    nodes: list[Node] = facts.value_or("cluster.nodes", [])
    try:
        calico = sessions.calico(facts)
    except NotKnown:
        return False
    return any(
        sessions.address(node, family) == address and not sessions.has_session(calico, node["metadata"]["name"], family)
        for node in (nodes if family else [])
    )


def _has_dead_session(facts: FactReader) -> bool:
    birds: list[Bird | None] = [facts.value_or("node.bird", None), facts.value_or("node.bird6", None)]
    return any(one["state"] != ESTABLISHED for bird in birds if bird for one in bird["protocols"])


def _in_use(facts: FactReader, endpoints: Sequence[SpiderEndpoint]) -> Iterator[SpiderEndpoint]:
    """Yield those of pods that are there: a record may stay for a while when its pod has gone, or for its successor."""
    pods: list[Pod] | None = facts.value_or("cluster.pods", None)
    names = {(one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in pods or [] if has_network(one)}
    for one in endpoints:
        if pods is None or (one["metadata"].get("namespace", ""), one["metadata"]["name"]) in names:
            yield one


def _homes(endpoints: Iterable[SpiderEndpoint], others: Collection[str]) -> Iterator[tuple[str, Home]]:
    """Yield the host route of each address of SpiderPool's that Calico's interface has: its node, and its pod.

    The addresses of other pools are those of other interfaces.
    """
    for endpoint in endpoints:
        current = endpoint.get("status", {}).get("current", {})
        pod = f"{endpoint['metadata'].get('namespace', '')}/{endpoint['metadata']['name']}"
        for one in current.get("ips", []):
            if one.get("interface", "eth0") == "eth0":
                given = ((one.get("ipv4", ""), one.get("ipv4Pool")), (one.get("ipv6", ""), one.get("ipv6Pool")))
                for text, pool in given:
                    if pool not in others and (address := address_of(text)):
                        yield str(network(str(address))), (current.get("node", ""), pod)


def _missing(facts: FactReader, router: Router, homes: Homes) -> Iterator[Finding]:
    given = {network(prefix).version for prefix in router["routes"]} | _empty(router)
    if any(one["peer_state"] == "Policy" for one in router["neighbors"].values()):
        return
    found = [one for one in homes if one not in router["routes"] and network(one).version in given]
    for prefix in found[:_SHOWN]:
        node, pod = homes[prefix]
        seen = f"the router has no route to it: the address of {pod} on {node}"
        yield Finding(prefix, seen, cause=_cause(facts, node, prefix))
    if found[_SHOWN:]:
        yield Finding(f"{len(found) - _SHOWN} more", "the router has no route to them")


def _empty(router: Router) -> set[int]:
    """Return the families in which the router takes no route of anybody, though it has sessions."""
    taken: dict[int, int] = {}
    for address, neighbor in router["neighbors"].items():
        if neighbor["state"] == ESTABLISHED and (found := address_of(address)):
            taken[found.version] = taken.get(found.version, 0) + neighbor["prefixes_received"]
    return {family for family, number in taken.items() if not number}


def _cause(facts: FactReader, node: str, prefix: str) -> str:
    try:
        verdicts = [one for _, one in of_address(sessions.calico(facts), node, prefix.partition("/")[0])]
    except NotKnown:
        return ""
    return "" if any(one.is_exported for one in verdicts) else CAUSES.get(verdicts[0].rule, "")


def _wrong(facts: FactReader, router: Router, homes: Homes) -> Iterator[Finding]:
    """Yield the routes that lead to other nodes than the pod's, as far as the next hop is a node's address."""
    nodes: list[Node] = facts.value_or("cluster.nodes", [])
    names = {sessions.address(node, family): node["metadata"]["name"] for node in nodes for family in (4, 6)}
    found = []
    for prefix, (node, _) in homes.items():
        hops = {names[hop] for hop in router["routes"].get(prefix, []) if hop in names}
        if hops - {node}:
            found.append((prefix, hops))
    for prefix, hops in found[:_SHOWN]:
        node, pod = homes[prefix]
        seen = f"the router sends it to {', '.join(sorted(hops - {node}))}, and {pod} is on {node}"
        yield Finding(prefix, seen, cause="bgp-mesh-and-router" if node in hops and _has_mesh(facts) else "")
    if found[_SHOWN:]:
        yield Finding(f"{len(found) - _SHOWN} more", "the router sends them to other nodes than the pods'")


def _has_mesh(facts: FactReader) -> bool:
    return sessions.Calico([], configurations=facts.value_or("cluster.bgp_configurations", [])).has_mesh


def _stale(facts: FactReader, router: Router, homes: Homes) -> Iterator[Finding]:
    ranges = [one for pool in calico_addresses.known_pools(facts) or [] for one in pool.named]
    hosts = (prefix for prefix in router["routes"] if prefix not in homes and "/" + prefix.partition("/")[2] in _HOST)
    found = [prefix for prefix in hosts if any(one.overlaps(network(prefix)) for one in ranges)]
    for prefix in found[:_SHOWN]:
        yield Finding(prefix, "the router has a route to it, and no pod has the address", severity="warning")
    if found[_SHOWN:]:
        seen = "the router has routes to them, and no pod has them"
        yield Finding(f"{len(found) - _SHOWN} more", seen, severity="warning")


CHECKS = (
    Check(
        id="bgp-sessions",
        part="calico",
        severity="failure",
        looks_at="the sessions of all nodes, by their CalicoNodeStatus",
        why="Over a session that is not Established, nobody hears of the node's pods.",
        to_do=(
            "Run `spiderpool-ipam doctor` on the node: node-bird says why. calico-node tells of its sessions only where"
            " a CalicoNodeStatus for its node asks it to; where there is none, doctor says how to make them."
        ),
        needs=("cluster.calico_node_statuses",),
        uses=("cluster.api",),
        find=_find_sessions,
        waits=True,
    ),
    Check(
        id="bgp-router-view",
        part="calico",
        severity="failure",
        looks_at="the router's neighbours and routes, by what FRR says (--router)",
        why="Who is outside of the cluster reaches a pod only if the router has a route to it by way of its node.",
        to_do=(
            "Where peerState is Policy: `no bgp ebgp-requires-policy`, or give the neighbours a route-map, and then"
            " `clear bgp * soft`. Give doctor what the router says: `vtysh -c 'show bgp summary json' -c 'show ip route"
            " bgp json' -c 'show ipv6 route bgp json' | spiderpool-ipam doctor --router -`."
        ),
        needs=("cluster.router",),
        uses=(
            "cluster.pods",
            "cluster.spider_endpoints",
            *calico_addresses.NEEDS,
            *calico_addresses.USES,
            "node.bird",
            "node.bird6",
            *sessions.NEEDS,
            *sessions.USES,
        ),
        find=_find_router,
    ),
)
