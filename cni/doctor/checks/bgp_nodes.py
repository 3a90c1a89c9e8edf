"""Checks of BGP's settings for all nodes: AS numbers, addresses, services. Pure."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import BGPConfiguration, BGPConfigurationSpec
from cni.contracts.workload_objects import NodePod
from cni.doctor import calico_addresses, calico_node, node_pods, sessions, suggest
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network
from cni.doctor.sessions import Calico, Session

_SHOWN = 3  # names of nodes in one finding
SERVICES = ("serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs")
_DOCKER = ipaddress.ip_network("172.17.0.0/16")  # docker0, which first-found may take for the node's own network
_KINDS = {4: "IPv4Address", 6: "IPv6Address"}


def families(facts: FactReader) -> list[int]:
    """Return the families that SpiderIPPools have. NotKnown."""
    return calico_addresses.families(calico_addresses.pools(facts))


def routers(calico: Calico, families: Sequence[int]) -> Iterator[tuple[Node, int, Session]]:
    """Yield each node's sessions with those that are no nodes."""
    settings: BGPConfigurationSpec = {**calico.settings.get("default", {}), "nodeToNodeMeshEnabled": False}
    quiet = replace(calico, configurations=[{"metadata": {"name": "default"}, "spec": settings}])
    for family in families:
        own = {sessions.address(one, family) for one in calico.nodes}
        for node in calico.nodes:
            found = sessions.sessions(quiet, node["metadata"]["name"], family)
            yield from ((node, family, one) for one in found if one.address not in own)


def _find_as(facts: FactReader) -> Iterator[Finding]:
    calico = sessions.calico(facts)
    if calico.has_mesh or any(map(sessions.cluster_id, calico.nodes)):
        return
    internal: dict[tuple[str, int], list[str]] = {}
    for node, family, session in routers(calico, families(facts)):
        if session.is_internal:
            internal.setdefault((session.object, family), []).append(sessions.address(node, family))
    for (peer, family), addresses in internal.items():
        seen = f"it has the AS number of {len(addresses)} nodes, the mesh is off, and no node is a route reflector"
        seen += ": the router has to be one"
        yield Finding(peer, seen, _reflect(calico, peer, family, addresses))


def _reflect(calico: Calico, peer: str, family: int, addresses: Sequence[str]) -> Mend:
    """Return the command that makes an FRR router the reflector of these nodes."""
    named = (one.get("spec", {}) for one in calico.peers if peer == f"BGPPeer/{one['metadata']['name']}")
    number = next(named).get("asNumber")
    lines = ["configure terminal", f"router bgp {number}", f"address-family ipv{family} unicast"]
    lines += [f"neighbor {one} route-reflector-client" for one in addresses]
    return suggest.vtysh(lines)


def _find_addresses(facts: FactReader) -> Iterator[Finding]:
    calico = sessions.calico(facts)
    pods = node_pods.by_node(facts.value_or("cluster.calico_pods", []))
    nodes = [node for node in calico.nodes if not pods or _name(node) in pods]  # Calico is not on the others
    for family in families(facts):
        faults = list(_faults(nodes, family))
        ill = {name for names, _ in faults for name in names}
        anew = _autodetect(facts, family) if len(ill) == len(nodes) else None
        for names, seen in faults:
            yield Finding(f"Node/{names_of(names)}", seen, anew or _logs(pods, names))
        yield from _far(calico, family)


def _faults(nodes: Sequence[Node], family: int) -> Iterator[tuple[list[str], str]]:
    """Yield what is wrong with addresses of a family, and of which nodes."""
    key = f"projectcalico.org/{_KINDS[family]}"
    if without := [_name(node) for node in nodes if not sessions.address(node, family)]:
        yield without, f"no {key}, and there are IPv{family} pools"
    by_address: dict[str, list[str]] = {}
    for node in nodes:
        if found := sessions.address(node, family):
            by_address.setdefault(found, []).append(_name(node))
            if _is_of_docker(node, found):
                yield [_name(node)], f"Calico takes {found} for its address, which looks like docker0's"
    for found, names in by_address.items():
        if len(names) > 1:
            yield names, f"all of them have {found} as their {key}"


def _is_of_docker(node: Node, address: str) -> bool:
    known = [one["address"] for one in node.get("status", {}).get("addresses", [])]
    return ipaddress.ip_address(address) in _DOCKER and bool(known) and address not in known


def _logs(pods: Mapping[str, NodePod], nodes: Sequence[str]) -> Mend:
    """Return the command that shows how calico-node has looked for the address of the first of some nodes."""
    if pod := pods.get(nodes[0]):
        namespace, name = pod["metadata"].get("namespace", ""), pod["metadata"]["name"]
        return command("kubectl -n {} logs {} -c calico-node", namespace, name)
    return calico_node.PODS


def _far(calico: Calico, family: int) -> Iterator[Finding]:
    """Yield the peers that are in no network of a node, as far as its annotation tells that network."""
    far: dict[tuple[str, str], list[str]] = {}
    for node, _, session in routers(calico, [family]):
        own = str(dict(node["metadata"].get("annotations", {})).get(f"projectcalico.org/{_KINDS[family]}", ""))
        if "/" in own and ipaddress.ip_address(session.address) not in network(own):
            far.setdefault((session.object, session.address), []).append(_name(node))
    for (peer, address), nodes in far.items():
        seen = f"{address} is not in the network of {names_of(nodes)}: a route has to lead to it"
        yield Finding(peer, seen, severity="information")


def _autodetect(facts: FactReader, family: int) -> Mend | None:
    """Return how to have all nodes find their addresses in another way; None where somebody has told them a way."""
    name = "IP" if family == 4 else "IP6"
    if not facts.value_or("cluster.daemon_sets", None) or not calico_node.daemon_set(facts):
        return None
    told = calico_node.variable(facts, name), calico_node.variable(facts, f"{name}_AUTODETECTION_METHOD")
    if told[0] not in (None, "autodetect", "none") or told[1] not in (None, "first-found"):
        return None
    if installation := calico_node.installation(facts):
        return calico_node.detect_addresses(installation, family)
    return calico_node.set_variable(facts, f"{name}=autodetect", f"{name}_AUTODETECTION_METHOD=kubernetes-internal-ip")


def _find_advertised(facts: FactReader) -> Iterator[Finding]:
    configurations: list[BGPConfiguration] = facts.value("cluster.bgp_configurations")
    pools = calico_addresses.pools(facts)
    for configuration in configurations:
        spec: Mapping[str, Any] = configuration.get("spec", {})
        for key in SERVICES:
            for one in spec.get(key) or []:
                cidr = network(one["cidr"])
                if inside := calico_addresses.overlapping(pools, cidr):
                    name = f"BGPConfiguration/{configuration['metadata']['name']}"
                    names = calico_addresses.names(inside)
                    yield Finding(name, f"its {key} has {cidr}, which overlaps {names}")


def _name(node: Node) -> str:
    return node["metadata"]["name"]


def names_of(nodes: Iterable[str]) -> str:
    """Return the first names of nodes, and how many more there are."""
    names = list(dict.fromkeys(nodes))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


_NEEDS = (*calico_addresses.NEEDS, *sessions.NEEDS)
_USES = (*calico_addresses.USES, *sessions.USES)
CHECKS = (
    Check(
        id="bgp-as",
        part="calico",
        severity="warning",
        looks_at="the AS numbers of nodes and of their BGPPeers",
        why=(
            "A router of the nodes' own AS does not pass on to one node what it has heard from another, unless it is a"
            " route reflector. So with the mesh off the nodes do not hear of each other."
        ),
        to_do="Make the router a route reflector for the nodes, give it another AS number, or turn the mesh on.",
        needs=_NEEDS,
        uses=_USES,
        find=_find_as,
        before_install=True,
    ),
    Check(
        id="bgp-node-address",
        part="calico",
        severity="failure",
        looks_at="the addresses that Calico has found for its nodes, for each family of SpiderPool's",
        why="Without an address of a family, or with a wrong one, a node has no BGP session for it.",
        to_do=(
            "See in the log of the node's calico-node how it has looked for the address. If it cannot find it in that"
            " way, tell it another: IP_AUTODETECTION_METHOD, and IP6=autodetect for IPv6. That starts calico-node anew"
            " on all nodes, so the way has to fit all of them."
        ),
        needs=_NEEDS,
        uses=("cluster.calico_pods", "cluster.installations", *_USES),
        find=_find_addresses,
        before_install=True,
        waits=True,
    ),
    Check(
        id="bgp-advertises",
        part="calico",
        severity="warning",
        looks_at="whether services' ranges that BIRD advertises overlap SpiderPool's",
        why="BIRD makes a blackhole of such a range on each node, and drops what is for other nodes' pods in it.",
        to_do="Give the services other ranges, or SpiderPool: one address cannot be both a service's and a pod's.",
        needs=(*calico_addresses.NEEDS, "cluster.bgp_configurations"),
        uses=calico_addresses.USES,
        find=_find_advertised,
        before_install=True,
    ),
)
