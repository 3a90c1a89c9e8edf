"""Checks of this node's routes: to its own pods, and to those of other nodes. Pure."""

from collections.abc import Iterator, Sequence

from cni.contracts.calico_objects import BGPConfiguration, BGPPeer, BlockAffinity
from cni.contracts.facts import CalicoToken
from cni.contracts.route_facts import KernelRoute, PodInterface
from cni.contracts.workload_objects import NodePod
from cni.doctor import calico_addresses, calico_node, node_pods, sessions, suggest
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.checks.bgp_nodes import SERVICES
from cni.doctor.facts import FactReader
from cni.doctor.ranges import Network, Range, network, ranges_of
from cni.doctor.sessions import Calico

_HOUR = 3600.0


def _find_blackhole(facts: FactReader) -> Iterator[Finding]:
    routes: list[KernelRoute] = facts.value("node.routes")
    pools = calico_addresses.known_pools(facts)
    if pools is not None:
        whose = {pool.name: pool.usable for pool in pools}
    else:
        whose = {one["pod"]: ranges_of([one["address"]]) for one in calico_addresses.of_node(facts)}
    for route in routes:
        cidr = network(route["prefix"])
        if route["type"] == "unicast" or not cidr.prefixlen:
            continue
        if names := [name for name, ranges in whose.items() if any(one.overlaps(cidr) for one in ranges)]:
            seen = f"the node drops what is for it ({route['type']}), and it has addresses of {', '.join(names)}"
            yield Finding(route["prefix"], seen, cause=_cause(facts, cidr))


def _cause(facts: FactReader, cidr: Network) -> str:
    """Return which check names where a blackhole comes from: a block of calico-ipam, or services."""
    affinities: list[BlockAffinity] = facts.value_or("cluster.block_affinities", [])
    if any(network(one["spec"]["cidr"]) == cidr for one in affinities):
        return "calico-blocks"
    configurations: list[BGPConfiguration] = facts.value_or("cluster.bgp_configurations", [])
    specs = [dict(one.get("spec", {})) for one in configurations]
    services = [one for spec in specs for key in SERVICES for one in spec.get(key) or []]  # type: ignore[attr-defined]
    return "bgp-advertises" if any(network(one["cidr"]) == cidr for one in services) else ""


def _find_interfaces(facts: FactReader) -> Iterator[Finding]:
    interfaces: list[PodInterface] = facts.value("node.pod_interfaces")
    by_address = {one["address"]: one for one in interfaces}
    for one in calico_addresses.of_node(facts):
        found = by_address.get(one["address"])
        if found and (fault := _fault(found)):
            namespace, _, name = one["pod"].partition("/")
            mend = command("kubectl -n {} delete pod {}", namespace, name)
            yield Finding(one["address"], f"{fault}: the address of {one['pod']}", mend)


def _fault(found: PodInterface) -> str:
    name = found["interface"]
    if not name:
        return "this node has no host route to it"
    if not name.startswith("cali"):
        return f"its host route leads to {name}, which is none of Calico's interfaces"
    if not found["is_up"]:
        return f"{name} is down"
    return f"proxy_arp of {name} is 0, so the pod finds no gateway" if found["proxy_arp"] is False else ""


def _find_way(facts: FactReader) -> Iterator[Finding]:
    routes: list[KernelRoute] = facts.value("node.routes")
    pools = calico_addresses.pools(facts)
    calico, name = sessions.calico(facts), facts.value("node.name")
    if calico.has_mesh:
        return
    for family in calico_addresses.families(pools):
        if not _shares_as(calico, name, family):
            continue
        peers = sessions.sessions(calico, name, family)
        if not peers or any(peer.is_internal or _takes_own_as(calico.peers, peer.object) for peer in peers):
            continue
        known = [route for route in routes if network(route["prefix"]).version == family and route["type"] == "unicast"]
        gateways = {
            gateway for route in known if not network(route["prefix"]).prefixlen for gateway in route["gateways"]
        }
        if gateways & {peer.address for peer in peers}:
            continue
        ranges = [one for pool in pools for one in pool.usable if one.first.version == family]
        if left := [str(one) for one in ranges if not _is_covered(one, known)]:
            leads = (
                f"its default route leads to {', '.join(sorted(gateways))}" if gateways else "it has no default route"
            )
            seen = f"{leads}, which is no BGP peer" if gateways else leads
            seen = f"{seen}, and no other route leads to {', '.join(left)}"
            is_dead = family == 4 and facts.value_or("node.route_to_gateway", True) is False
            cause = "node-default-route" if is_dead else ""
            yield Finding(f"Node/{name}", seen, _accepting(facts, peers[0].object), cause=cause)


def _shares_as(calico: Calico, name: str, family: int) -> bool:
    """Tell whether another node has this node's AS number: of others, it takes the routes from the router."""
    others = [one for one in calico.nodes if one["metadata"]["name"] != name and sessions.address(one, family)]
    own = calico.by_name.get(name)
    return own is not None and any(sessions.as_number(calico, one) == sessions.as_number(calico, own) for one in others)


def _takes_own_as(peers: Sequence[BGPPeer], name: str) -> bool:
    specs = [one.get("spec", {}) for one in peers if f"BGPPeer/{one['metadata']['name']}" == name]
    return any(spec.get("numAllowedLocalASNumbers", 0) for spec in specs)


def _is_covered(one: Range, routes: Sequence[KernelRoute]) -> bool:
    return any((cidr := network(route["prefix"])).prefixlen and one.overlaps(cidr) for route in routes)


def _accepting(facts: FactReader, peer: str) -> Mend:
    return suggest.patch(facts, "bgppeer", peer.partition("/")[2], {"numAllowedLocalASNumbers": 1})


def _find_token(facts: FactReader) -> Iterator[Finding]:
    token: CalicoToken = facts.value("node.calico_token")
    left = token["seconds_left"]
    if left is None:
        return
    pods: list[NodePod] | None = facts.value_or("cluster.calico_pods", None)
    own = node_pods.by_node(pods or []).get(facts.value_or("node.name", ""))
    is_renewed = pods is None or (own is not None and node_pods.is_ready(own))
    if left <= 0:
        yield Finding(token["path"], f"its token has ended {-left / 60:.0f} minutes ago", _restart(own))
    elif left < _HOUR and not is_renewed:
        seen = f"its token ends in {left / 60:.0f} minutes, and calico-node is not Ready here to renew it"
        yield Finding(token["path"], seen, _restart(own))


def _restart(pod: NodePod | None) -> Mend:
    if pod is None:
        return calico_node.PODS
    return command("kubectl -n {} delete pod {}", pod["metadata"].get("namespace", ""), pod["metadata"]["name"])


CHECKS = (
    Check(
        id="node-cali",
        part="node",
        severity="warning",
        looks_at="the host route and the interface that lead to each address of this node's pods",
        why="What comes for a pod reaches it by a host route to its interface, and by no other way.",
        to_do="Delete the pod, so that Calico makes its interface anew. If it comes back so, look at Felix' log.",
        needs=("node.local_addresses", "node.pod_interfaces"),
        uses=("node.conflist",),
        find=_find_interfaces,
        waits=True,
    ),
    Check(
        id="node-blackhole",
        part="node",
        severity="failure",
        looks_at="routes of this node that drop packets for addresses of SpiderPool's",
        why=(
            "BIRD makes such a route for each block that its node has, and for ranges of services. What is for pods of"
            " other nodes in it is dropped."
        ),
        to_do="Free the block (see calico-blocks), or take the range from the services (see bgp-advertises).",
        needs=("node.routes",),
        uses=(
            "node.local_addresses",
            "node.conflist",
            *calico_addresses.NEEDS,
            *calico_addresses.USES,
            "cluster.block_affinities",
            "cluster.bgp_configurations",
        ),
        find=_find_blackhole,
        waits=True,
    ),
    Check(
        id="node-way-to-others",
        part="node",
        severity="warning",
        looks_at="whether this node has a way to other nodes' pods, where the mesh is off",
        why=(
            "Nodes of one AS never take each other's routes from an eBGP router: they find their own AS number in them."
            " So packets for other nodes' pods go where the default route leads, and that has to know the pods."
        ),
        to_do=(
            "Have the default route lead to the router, or the BGPPeer take routes with the node's own AS number"
            " (numAllowedLocalASNumbers), or turn the mesh on. If the gateway has the routes by other means, all is"
            " well."
        ),
        needs=("node.routes", "node.name", *calico_addresses.NEEDS, *sessions.NEEDS),
        uses=("node.route_to_gateway", "cluster.api", *calico_addresses.USES, *sessions.USES),
        find=_find_way,
    ),
    Check(
        id="node-calico-token",
        part="node",
        severity="warning",
        looks_at="when the token ends that Calico's plugin shows to the API",
        why="With a token that has ended, Calico's plugin starts no pod. calico-node renews it while it runs.",
        to_do="Have calico-node start anew on this node.",
        needs=("node.calico_token",),
        uses=("node.name", "cluster.calico_pods"),
        find=_find_token,
        before_install=True,
        waits=True,
    ),
)
