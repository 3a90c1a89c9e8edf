"""Whether BIRD exports a route, and which object decides: Calico's export filter, computed from its objects. Pure.

confd/etc/calico/confd/templates: the peer's BGPFilters, then reject_disabled_pools, reject_tunnel_routes (iBGP),
reject_local_routes, calico_aggr, static routes, the pools. The first that matches decides; nothing that does: reject.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cni.contracts.calico_objects import BGPFilterRule, BlockAffinity, IPPool
from cni.doctor.ranges import Network, is_subnet, network
from cni.doctor.sessions import Calico, Session, cluster_id, sessions

Rule = Literal["no-session", "filter", "export-disabled", "tunnel", "block", "services", "pool", "no-pool"]

_BY_METRIC = (3, 33)  # from this version on, a route in a block is exported if its metric is low enough
_PRIORITY = 1024
_EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


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
    interface: str = "cali0123456789a"  # some pod's: it is "cali" and eleven digits of a hash of the pod's name
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
    if pattern := rule.get("interface"):
        yield _matches_pattern(pattern, route.interface)
    if peer_type := rule.get("peerType"):
        yield (peer_type == "iBGP") == session.is_internal
    if rule.get("communities") or rule.get("asPathPrefix"):
        yield False  # a pod's own route has neither


def _matches_pattern(pattern: str, text: str) -> bool:
    """Tell whether BIRD's `text ~ pattern` holds: it knows *, ? and a backslash, and no brackets."""
    parts = re.findall(r"\\.|.", pattern)
    kinds = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(kinds.get(part) or re.escape(part[-1]) for part in parts), text))


def _matches_cidr(rule: BGPFilterRule, cidr: Network, prefix: Network) -> bool:
    is_in, is_equal = is_subnet(prefix, cidr), prefix == cidr
    if (lengths := rule.get("prefixLength")) is not None:
        # It is `net ~ [ 10.0.0.0/8{8,32} ]` then: a set of prefixes, which no prefix is equal to.
        is_in = is_in and lengths.get("min", 0) <= prefix.prefixlen <= lengths.get("max", prefix.max_prefixlen)
        is_equal = False
    answers: Mapping[str, bool] = {"In": is_in, "NotIn": not is_in, "Equal": is_equal, "NotEqual": not is_equal}
    return answers.get(rule.get("matchOperator", "In"), False)


def _by_disabled_export(calico: Calico, _node: str, _session: Session, route: Route) -> Verdict | None:
    for pool in _pools(calico):
        spec = pool["spec"]
        if spec.get("disableBGPExport") and is_subnet(route.prefix, network(spec["cidr"])):
            text = f"its disableBGPExport is true, and {route.prefix} is in {spec['cidr']}"
            return Verdict(False, "export-disabled", f"IPPool/{pool['metadata']['name']}", text)
    return None


def _pools(calico: Calico) -> Iterable[IPPool]:
    """Return the pools as confd knows them: of those that have one CIDR, the one with the lowest name."""
    found: dict[Network, IPPool] = {}
    for pool in sorted(calico.pools, key=lambda pool: pool["metadata"]["name"]):
        found.setdefault(network(pool["spec"]["cidr"]), pool)
    return found.values()


def _by_interface(_calico: Calico, _node: str, session: Session, route: Route) -> Verdict | None:
    name = route.interface
    is_tunnel = session.is_internal and (name.endswith((".cali", ".calico")))
    if is_tunnel or _matches_pattern("bpf*.cali", name):
        return Verdict(False, "tunnel", name, f"{route.prefix} leads to {name}, which is Felix' own business")
    return None


def _by_block(calico: Calico, node: str, _: Session, route: Route) -> Verdict | None:
    found = [(network(one["spec"]["cidr"]), one) for one in calico.affinities if _is_block(one, node)]
    for cidr, affinity in sorted(found, key=lambda one: str(one[0]).replace("/", "-")):  # as confd sorts its keys
        name = f"BlockAffinity/{affinity['metadata']['name']}"
        if route.prefix == cidr:
            return Verdict(True, "block", name, f"{cidr} is a block of {node}")
        if is_subnet(route.prefix, cidr):
            return _in_block(calico, route, cidr, name)
    return None


def _is_block(affinity: BlockAffinity, node: str) -> bool:
    """Tell whether it is a block that a node has, and not one that it is about to get or to give back."""
    spec = affinity["spec"]
    is_its = spec.get("node") == node and str(spec.get("deleted", "false")).lower() != "true"
    return is_its and spec.get("type", "host") == "host" and spec.get("state", "confirmed") in ("", "confirmed")


def _in_block(calico: Calico, route: Route, cidr: Network, name: str) -> Verdict:
    key: Literal["ipv4NormalRoutePriority", "ipv6NormalRoutePriority"] = (
        "ipv4NormalRoutePriority" if cidr.version == 4 else "ipv6NormalRoutePriority"
    )
    if calico.version >= _BY_METRIC and route.metric < calico.settings.get("default", {}).get(key, _PRIORITY):
        return Verdict(True, "block", name, f"{route.prefix} is in the node's block {cidr}, and its metric is low")
    return Verdict(False, "block", name, f"{route.prefix} is in the node's block {cidr}, which is told as a whole only")


def _by_services(calico: Calico, node: str, _: Session, route: Route) -> Verdict | None:
    for cidr in _of_services(calico, node):
        if is_subnet(route.prefix, cidr):
            text = f"{route.prefix} is in {cidr}, which is advertised for services"
            return Verdict(True, "services", "BGPConfiguration/default", text)
    return None


def _of_services(calico: Calico, node: str) -> Iterator[Network]:
    """Yield the ranges of services that a node advertises."""
    spec, metadata = calico.settings.get("default", {}), calico.by_name[node]["metadata"]
    balancers = [network(one["cidr"]) for one in spec.get("serviceLoadBalancerIPs") or []]
    if metadata.get("labels", {}).get(_EXCLUDED) != "true":
        for one in (*(spec.get("serviceClusterIPs") or ()), *(spec.get("serviceExternalIPs") or ())):
            yield network(one["cidr"])
        # A single address of a load balancer is advertised only by nodes that have one of its pods.
        yield from (cidr for cidr in balancers if cidr.prefixlen < cidr.max_prefixlen)
    if cluster_id(calico.by_name[node]):
        yield from balancers


def _by_pool(calico: Calico, _node: str, _session: Session, route: Route) -> Verdict | None:
    for pool in _pools(calico):
        if is_subnet(route.prefix, network(pool["spec"]["cidr"])):
            text = f"{pool['spec']['cidr']} covers {route.prefix}"
            return Verdict(True, "pool", f"IPPool/{pool['metadata']['name']}", text)
    return None
