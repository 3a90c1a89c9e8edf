"""Check of the mesh of nodes beside a router, and what mends it without cutting a node off. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from cni.contracts.api_objects import Node
from cni.contracts.route_facts import KernelRoute
from cni.doctor import calico_addresses, calico_node, sessions, suggest
from cni.doctor.check import Check, Finding, Mend
from cni.doctor.checks.bgp_nodes import names_of, routers
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network
from cni.doctor.sessions import Calico, Session
from cni.doctor.verdict import Route, of_route

# From this version on a filter's rule has a source. An API server of an older one drops that, and so rejects all.
_SOURCE = (3, 28)
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
# By family and address of a router, the nodes that have no session with it.
_Left: TypeAlias = Mapping[int, Mapping[str, list[str]]]


def _find_mesh(facts: FactReader) -> Iterator[Finding]:
    calico = sessions.calico(facts)
    if not calico.has_mesh or len(calico.nodes) < 2:
        return
    samples = _samples(facts)
    of_pools = {network(pool["spec"]["cidr"]).version for pool in calico.pools}  # Calico's pods need a way, too
    known = list(routers(calico, sorted(of_pools | samples.keys())))
    told: dict[str, list[str]] = {}
    about: dict[str, tuple[int, Session]] = {}
    for node, family, session in known:
        if family in samples and not session.is_internal and _is_told(calico, node, session, samples[family]):
            told.setdefault(session.object, []).append(node["metadata"]["name"])
            about[session.object] = family, session
    left = {family: _left(calico, known, family) for family in of_pools | samples.keys()}
    is_spare = not any(session.is_internal for _, _, session in known) and _is_spare(facts, calico, left)
    for peer, nodes in told.items():
        family, session = about[peer]
        without = left[family][session.address]
        seen = f"the mesh is on, so {names_of(nodes)} {_verb(nodes)} it of the other nodes' pods, too"
        if without:
            seen += f"; {names_of(without)} {'has' if len(without) == 1 else 'have'} no session with it"
        yield Finding(peer, seen, None if without else _mend(facts, calico, peer, is_spare=is_spare))


def _samples(facts: FactReader) -> Mapping[int, Route]:
    """Return a route to a pod of another node, for each family that is in use."""
    found: dict[int, Route] = {}
    for pool in calico_addresses.pools(facts):
        for one in pool.usable[:1]:
            route = Route(network(str(one.first)), interface="eth0", is_remote=True)
            found.setdefault(one.first.version, route)
    return found


def _is_told(calico: Calico, node: Node, session: Session, route: Route) -> bool:
    return of_route(calico, node["metadata"]["name"], session, route).is_exported


def _left(calico: Calico, known: Sequence[tuple[Node, int, Session]], family: int) -> Mapping[str, list[str]]:
    """Return the routers of a family by their addresses, each with the nodes that have no session with it."""
    nodes = [node["metadata"]["name"] for node in calico.nodes if sessions.address(node, family)]
    reached: dict[str, set[str]] = {}
    for node, of_session, session in known:
        if of_session == family:
            reached.setdefault(session.address, set()).add(node["metadata"]["name"])
    return {address: [name for name in nodes if name not in names] for address, names in reached.items()}


def _is_spare(facts: FactReader, calico: Calico, left: _Left) -> bool:
    """Tell whether no node needs the mesh: each router hears of all nodes, and this node's default route leads there.

    Other routes of this node are no sign: the mesh may have told it of them.
    """
    routes: list[KernelRoute] | None = facts.value_or("node.routes", None)
    for family, by_router in left.items():
        if not any(sessions.address(node, family) for node in calico.nodes):
            continue
        if not by_router or any(by_router.values()):
            return False
        default = [one for one in routes or [] if network(one["prefix"]) == network(_DEFAULT[family])]
        gateways = {gateway for one in default for gateway in one["gateways"]}
        if routes is not None and not (gateways and gateways <= by_router.keys()):
            return False
    return True


def _mend(facts: FactReader, calico: Calico, peer: str, *, is_spare: bool) -> Mend | None:
    if is_spare:
        return calico_node.set_default(facts, "BGPConfiguration", "nodeToNodeMeshEnabled", False)
    named = next(one for one in calico.peers if peer == f"BGPPeer/{one['metadata']['name']}")
    return suggest.own_routes_only(facts, named) if calico.version >= _SOURCE else None


def _verb(nodes: Sequence[str]) -> str:
    return "tells" if len(set(nodes)) == 1 else "tell"


CHECKS = (
    Check(
        id="bgp-mesh-and-router",
        part="calico",
        severity="warning",
        looks_at="whether the mesh of nodes is on beside an eBGP router",
        why=(
            "Each node tells the router what the mesh has told it. So the router has every pod's address from every"
            " node, with equal paths, and sends part of the packets to nodes that the pod is not on."
        ),
        to_do=(
            "First give each node a session of its own with a router: until then, the mesh may be the only way to its"
            " pods. Then turn the mesh off, as in the guide, if the nodes' default route leads to the router. Else keep"
            " it, and give the BGPPeer a BGPFilter that exports only the node's own, which Calico has from 3.28 on:"
            " `exportV4: [{action: Reject, source: RemotePeers}]`, and the same as `exportV6`."
        ),
        needs=(*calico_addresses.NEEDS, *sessions.NEEDS),
        uses=("node.routes", "cluster.api", *calico_addresses.USES, *sessions.USES),
        find=_find_mesh,
        before_install=True,
    ),
)
