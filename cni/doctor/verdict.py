"""Whether BIRD exports a route, and which object decides: Calico's export filter, computed from its objects. Pure.

confd/etc/calico/confd/templates: the peer's BGPFilters, then reject_disabled_pools, reject_tunnel_routes (iBGP),
reject_local_routes, calico_aggr, static routes, the pools. The first that matches decides; nothing that does: reject.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from cni.contracts.calico_objects import BGPFilterRule
from cni.doctor.ranges import Network, is_subnet, network
from cni.doctor.sessions import Calico, Session, sessions

Rule = Literal["no-session", "filter", "export-disabled", "tunnel", "block", "services", "pool", "no-pool"]

_BY_METRIC = (3, 33)  # from this version on, a route in a block is exported if its metric is low enough
_PRIORITY = 1024


class Verdict(NamedTuple):
    """What becomes of a route, and by what."""

    is_exported: bool
    rule: Rule
    object: str  # "IPPool/NAME"; "" where it is the lack of one
    text: str


@dataclass(frozen=True)
class Route:
    """A route that BIRD knows. A pod's leads to its interface on the node."""

    prefix: Network
    interface: str = "cali"
    is_remote: bool = False  # learned over BGP
    metric: int = _PRIORITY  # Felix' own; the CNI plugin's, before Felix sees the pod, is 0


def of_address(calico: Calico, node: str, address: str) -> list[tuple[Session | None, Verdict]]:
    """Return what becomes of a pod's address on a node: one verdict for each session, or one that there is none."""
    route = Route(network(address))
    found = sessions(calico, node, route.prefix.version)
    if not found:
        text = f"{node} has no BGP session for IPv{route.prefix.version}"
        return [(None, Verdict(False, "no-session", f"Node/{node}", text))]
    return [(session, of_route(calico, node, session, route)) for session in found]


def of_route(calico: Calico, node: str, session: Session, route: Route) -> Verdict:
    """Return what becomes of a route of a node on one of its sessions."""
    for decide in (_by_filter, _by_disabled_export, _by_interface, _by_block, _by_services, _by_pool):
        if verdict := decide(calico, node, session, route):
            return verdict
    return Verdict(False, "no-pool", "", f"no IPPool covers {route.prefix}")


def _by_filter(calico: Calico, _: str, session: Session, route: Route) -> Verdict | None:
    known = {one["metadata"]["name"]: one.get("spec", {}) for one in calico.filters}
    for name in session.filters:
        if name not in known:
            continue  # confd leaves it out
        spec = known[name]
        key: Literal["exportV4", "exportV6"] = "exportV4" if route.prefix.version == 4 else "exportV6"
        if found := first_match(spec.get(key) or [], session, route):
            place, rule = found
            is_exported = rule["action"] == "Accept"
            does = "accepts" if is_exported else "rejects"
            text = f"rule {place + 1} of its {key} {does} {route.prefix}"
            return Verdict(is_exported, "filter", f"BGPFilter/{name}", text)
    return None


def first_match(rules: Sequence[BGPFilterRule], session: Session, route: Route) -> tuple[int, BGPFilterRule] | None:
    """Return the first rule that matches a route, and its place."""
    for place, rule in enumerate(rules):
        if all(_conditions(rule, session, route)):
            return place, rule
    return None


def _conditions(rule: BGPFilterRule, session: Session, route: Route) -> Iterator[bool]:
    """Yield whether each of a rule's conditions holds; a rule without one matches all."""
    if cidr := rule.get("cidr"):
        yield _matches_cidr(rule, network(cidr), route.prefix)
    if rule.get("source") == "RemotePeers":
        yield route.is_remote
    if interface := rule.get("interface"):
        # A pod's own interface has a name of its own, which is not known here: "cali" and some digits.
        yield fnmatchcase(route.interface, interface) or fnmatchcase(f"{route.interface}0123456789a", interface)
    if peer_type := rule.get("peerType"):
        yield (peer_type == "iBGP") == session.is_internal
    if rule.get("communities") or rule.get("asPathPrefix"):
        yield False  # a pod's own route has neither


def _matches_cidr(rule: BGPFilterRule, cidr: Network, prefix: Network) -> bool:
    is_in = is_subnet(prefix, cidr)
    lengths = rule.get("prefixLength", {})
    fits = lengths.get("min", 0) <= prefix.prefixlen <= lengths.get("max", prefix.max_prefixlen)
    answers: Mapping[str, bool] = {
        "In": is_in and fits,
        "NotIn": not (is_in and fits),
        "Equal": prefix == cidr,
        "NotEqual": prefix != cidr,
    }
    return answers.get(rule.get("matchOperator", "In"), False)


def _by_disabled_export(calico: Calico, _node: str, _session: Session, route: Route) -> Verdict | None:
    for pool in calico.pools:
        spec = pool["spec"]
        if spec.get("disableBGPExport") and is_subnet(route.prefix, network(spec["cidr"])):
            text = f"its disableBGPExport is true, and {route.prefix} is in {spec['cidr']}"
            return Verdict(False, "export-disabled", f"IPPool/{pool['metadata']['name']}", text)
    return None


def _by_interface(_calico: Calico, _node: str, session: Session, route: Route) -> Verdict | None:
    name = route.interface
    is_tunnel = session.is_internal and (name.endswith((".cali", ".calico")))
    if is_tunnel or fnmatchcase(name, "bpf*.cali"):
        return Verdict(False, "tunnel", name, f"{route.prefix} leads to {name}, which is Felix' own business")
    return None


def _by_block(calico: Calico, node: str, _: Session, route: Route) -> Verdict | None:
    for affinity in calico.affinities:
        spec = affinity["spec"]
        is_its = spec.get("node") == node and str(spec.get("deleted", "false")).lower() != "true"
        if not is_its or spec.get("type", "host") != "host" or spec.get("state", "confirmed") not in ("", "confirmed"):
            continue
        cidr, name = network(spec["cidr"]), f"BlockAffinity/{affinity['metadata']['name']}"
        if route.prefix == cidr:
            return Verdict(True, "block", name, f"{cidr} is a block of {node}")
        if is_subnet(route.prefix, cidr):
            return _in_block(calico, route, cidr, name)
    return None


def _in_block(calico: Calico, route: Route, cidr: Network, name: str) -> Verdict:
    key: Literal["ipv4NormalRoutePriority", "ipv6NormalRoutePriority"] = (
        "ipv4NormalRoutePriority" if cidr.version == 4 else "ipv6NormalRoutePriority"
    )
    if calico.version >= _BY_METRIC and route.metric < calico.settings.get("default", {}).get(key, _PRIORITY):
        return Verdict(True, "block", name, f"{route.prefix} is in the node's block {cidr}, and its metric is low")
    return Verdict(False, "block", name, f"{route.prefix} is in the node's block {cidr}, which is told as a whole only")


def _by_services(calico: Calico, _node: str, _session: Session, route: Route) -> Verdict | None:
    spec = calico.settings.get("default", {})
    services = (spec.get("serviceClusterIPs"), spec.get("serviceExternalIPs"), spec.get("serviceLoadBalancerIPs"))
    for ranges in services:
        for one in ranges or []:
            if is_subnet(route.prefix, network(one["cidr"])):
                text = f"{route.prefix} is in {one['cidr']}, which is advertised for services"
                return Verdict(True, "services", "BGPConfiguration/default", text)
    return None


def _by_pool(calico: Calico, _node: str, _session: Session, route: Route) -> Verdict | None:
    for pool in calico.pools:
        if is_subnet(route.prefix, network(pool["spec"]["cidr"])):
            text = f"{pool['spec']['cidr']} covers {route.prefix}"
            return Verdict(True, "pool", f"IPPool/{pool['metadata']['name']}", text)
    return None
