"""Checks of BGP's settings for all nodes: AS numbers, addresses, services. Pure."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import BGPConfiguration, BGPConfigurationSpec
from cni.doctor import calico_addresses, calico_node, sessions, suggest
from cni.doctor.check import Check, Finding, Mend
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network
from cni.doctor.sessions import Calico, Session

_SHOWN = 3  # names of nodes in one finding
_SERVICES = ("serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs")
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
    for family in families(facts):
        key, mend = f"projectcalico.org/{_KINDS[family]}", _autodetect(facts, family)
        without = [_name(node) for node in calico.nodes if not sessions.address(node, family)]
        if without:
            yield Finding(f"Node/{names_of(without)}", f"no {key}, and there are IPv{family} pools", mend)
        by_address: dict[str, list[str]] = {}
        for node in calico.nodes:
            if found := sessions.address(node, family):
                by_address.setdefault(found, []).append(_name(node))
                yield from _docker(node, found, mend)
        for found, nodes in by_address.items():
            if len(nodes) > 1:
                yield Finding(f"Node/{names_of(nodes)}", f"all of them have {found} as their {key}", mend)
        yield from _far(calico, family)


def _docker(node: Node, address: str, mend: Mend) -> Iterator[Finding]:
    known = [one["address"] for one in node.get("status", {}).get("addresses", [])]
    if ipaddress.ip_address(address) in _DOCKER and known and address not in known:
        yield Finding(
            f"Node/{_name(node)}", f"Calico takes {address} for its address, which looks like docker0's", mend
        )


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


def _autodetect(facts: FactReader, family: int) -> Mend:
    installation = calico_node.installation(facts)
    if installation:
        method = {"firstFound": None, "kubernetes": "NodeInternalIP"}
        spec = {"calicoNetwork": {f"nodeAddressAutodetectionV{family}": method}}
        return suggest.operators_patch(installation["metadata"]["name"], spec)
    name = "IP" if family == 4 else "IP6"
    return calico_node.set_variable(facts, f"{name}=autodetect", f"{name}_AUTODETECTION_METHOD=kubernetes-internal-ip")


def _find_advertised(facts: FactReader) -> Iterator[Finding]:
    configurations: list[BGPConfiguration] = facts.value("cluster.bgp_configurations")
    pools = calico_addresses.pools(facts)
    for configuration in configurations:
        spec: Mapping[str, Any] = configuration.get("spec", {})
        for key in _SERVICES:
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
        to_do="Tell calico-node how to find the address: IP_AUTODETECTION_METHOD, and IP6=autodetect for IPv6.",
        needs=_NEEDS,
        uses=("cluster.installations", *_USES),
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
