"""Which BGP sessions a node has, by Calico's objects. Pure.

confd/pkg/backends/calico/client.go, updatePeersV1, and bird.cfg.template: global peers, peers of nodes, their reverse,
and the mesh of all nodes.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import (
    BGPConfiguration,
    BGPConfigurationSpec,
    BGPFilter,
    BGPPeer,
    BlockAffinity,
    IPPool,
)
from cni.doctor import calico_node
from cni.doctor.facts import FactReader
from cni.doctor.selector import SelectorError, matches

AS_NUMBER = 64512  # where nobody says another
PORT = 179  # likewise
_ADDRESSES = {4: "projectcalico.org/IPv4Address", 6: "projectcalico.org/IPv6Address"}
# The facts that `calico` reads. Filters are needed only if a peer names one.
NEEDS = ("cluster.nodes", "cluster.ip_pools", "cluster.bgp_configurations", "cluster.bgp_peers")
USES = ("cluster.bgp_filters", "cluster.block_affinities", "cluster.cluster_informations")


@dataclass(frozen=True)
class Session:
    """A session of a node."""

    object: str  # "BGPPeer/NAME", or "mesh"
    address: str  # of the peer
    is_internal: bool  # iBGP
    filters: Sequence[str] = ()
    port: int = PORT  # of the peer


@dataclass(frozen=True)
class Calico:
    """The objects that decide what a node exports, and to whom."""

    nodes: Sequence[Node]
    pools: Sequence[IPPool] = ()
    peers: Sequence[BGPPeer] = ()
    filters: Sequence[BGPFilter] = ()
    configurations: Sequence[BGPConfiguration] = ()
    affinities: Sequence[BlockAffinity] = ()
    version: tuple[int, int] = (0, 0)  # of Calico; (0, 0): not known
    settings: Mapping[str, BGPConfigurationSpec] = field(init=False)
    by_name: Mapping[str, Node] = field(init=False)
    by_address: Mapping[str, Node] = field(init=False)  # a node has one of each family

    def __post_init__(self) -> None:
        """Sort configurations and nodes by their names and addresses."""
        object.__setattr__(self, "by_name", {node["metadata"]["name"]: node for node in self.nodes})
        found = {text: node for node in self.nodes for family in _ADDRESSES if (text := address(node, family))}
        object.__setattr__(self, "by_address", found)
        settings = {one["metadata"]["name"]: one.get("spec", {}) for one in self.configurations}
        object.__setattr__(self, "settings", settings)

    @property
    def has_mesh(self) -> bool:
        """Whether each node has a session with each other."""
        return self.settings.get("default", {}).get("nodeToNodeMeshEnabled", True)


def calico(facts: FactReader) -> Calico:
    """Return the objects that were read. NotKnown."""
    peers: list[BGPPeer] = facts.value("cluster.bgp_peers")
    has_filters = any(peer.get("spec", {}).get("filters") for peer in peers)
    return Calico(
        nodes=facts.value("cluster.nodes"),
        pools=facts.value("cluster.ip_pools"),
        peers=peers,
        filters=facts.value("cluster.bgp_filters") if has_filters else [],
        configurations=facts.value("cluster.bgp_configurations"),
        affinities=facts.value_or("cluster.block_affinities", []),
        version=calico_node.version(facts),
    )


def address(node: Node, family: int) -> str:
    """Return the address that a node has for BGP; "" for none."""
    annotations: Mapping[str, str] = dict(node["metadata"].get("annotations", {}))  # type: ignore[arg-type]
    text = annotations.get(_ADDRESSES[family], "")
    with suppress(ValueError):  # it is written by hand, too; Calico takes the node for one without an address then
        return text.partition("/")[0] if ipaddress.ip_interface(text).version == family else ""
    return ""


def cluster_id(node: Node) -> str:
    """Return the ID of the cluster that a node is a route reflector of; "" for none. Calico takes no other value."""
    text = node["metadata"].get("annotations", {}).get("projectcalico.org/RouteReflectorClusterID", "")
    with suppress(ValueError):
        return text if ipaddress.ip_network(text).version == 4 else ""
    return ""


def sessions(calico: Calico, name: str, family: int) -> list[Session]:
    """Return the sessions of the node of this name for a family. A peer that is told twice is one.

    confd writes a session of the mesh and one of a BGPPeer with the same node. BIRD brings up the first, the mesh's.
    """
    found: dict[tuple[str, int], Session] = {}
    for session in _told(calico, name, family):
        found.setdefault((session.address, session.port), session)
    return list(found.values())


def has_session(calico: Calico, name: str, family: int) -> bool:
    """Tell whether the node of this name has any. Of a mesh of thousands of nodes, no more than one is looked at."""
    return any(True for _ in _told(calico, name, family))


def _told(calico: Calico, name: str, family: int) -> Iterator[Session]:
    """Yield the sessions that the objects give to a node."""
    node = calico.by_name.get(name)
    if node is None or not (own := address(node, family)):
        return
    globals_first = sorted(calico.peers, key=lambda peer: bool(_own_nodes_are_selected(peer)))
    told = (_mesh(calico, node, family), _peers(calico, node, family, globals_first), _reverse(calico, node, family))
    yield from (session for session in chain.from_iterable(told) if session.address != own)


def _peers(calico: Calico, node: Node, family: int, peers: Sequence[BGPPeer]) -> Iterator[Session]:
    """Yield the sessions that BGPPeers give to a node that they select."""
    for peer in peers:
        spec = peer.get("spec", {})
        if spec.get("localWorkloadSelector") or not _selects(peer, node):
            continue
        if selector := spec.get("peerSelector"):
            others = (one for one in calico.nodes if _matches(selector, one) and address(one, family))
            yield from (_to(calico, peer, node, one, family) for one in others)
        elif (host := host_of(spec.get("peerIP", ""))) and _family(host) == family:
            is_internal = number(spec.get("asNumber"), 0) == as_number(calico, node)
            other = _node_at(calico, peer)
            port = port_of(spec["peerIP"]) or (_listens(calico, other) if other else PORT)
            yield Session(_name(peer), host, is_internal, tuple(spec.get("filters") or ()), port)


def _reverse(calico: Calico, node: Node, family: int) -> Iterator[Session]:
    """Yield the sessions with the nodes that a BGPPeer selects, for a node that it names as their peer."""
    for peer in calico.peers:
        spec = peer.get("spec", {})
        if selector := spec.get("peerSelector"):
            is_peer = _matches(selector, node)
        else:
            port, host = port_of(spec.get("peerIP", "")), host_of(spec.get("peerIP", ""))
            is_peer = _node_at(calico, peer) is node and host == address(node, family)
            is_peer = is_peer and all(port in (0, one) for one in _ports(calico, node))
        if is_peer:
            others = (one for one in calico.nodes if one is not node and _selects(peer, one) and address(one, family))
            yield from (_to(calico, peer, node, one, family) for one in others)


def _mesh(calico: Calico, node: Node, family: int) -> Iterator[Session]:
    if not calico.has_mesh or cluster_id(node):
        return
    for one in calico.nodes:
        if one is not node and address(one, family) and not cluster_id(one):
            yield Session("mesh", address(one, family), is_internal=True, port=_listens(calico, one))


def _node_at(calico: Calico, peer: BGPPeer) -> Node | None:
    """Return the node whose address and AS number a peer has."""
    spec = peer.get("spec", {})
    node = calico.by_address.get(host_of(spec.get("peerIP", "")))
    return node if node and number(spec.get("asNumber"), 0) == as_number(calico, node) else None


def _ports(calico: Calico, node: Node) -> list[int]:
    """Return the ports that are told for a node: its own, then that of all nodes."""
    told = (calico.settings.get(name, {}) for name in (f"node.{node['metadata']['name']}", "default"))
    return [spec["listenPort"] for spec in told if spec.get("listenPort")]


def _listens(calico: Calico, node: Node) -> int:
    return (*_ports(calico, node), PORT)[0]


def _to(calico: Calico, peer: BGPPeer, node: Node, other: Node, family: int) -> Session:
    is_internal = as_number(calico, node) == as_number(calico, other)
    filters = tuple(peer.get("spec", {}).get("filters") or ())
    return Session(_name(peer), address(other, family), is_internal, filters, _listens(calico, other))


def _own_nodes_are_selected(peer: BGPPeer) -> str:
    spec = peer.get("spec", {})
    return spec.get("nodeSelector") or spec.get("node") or ""


def _selects(peer: BGPPeer, node: Node) -> bool:
    spec = peer.get("spec", {})
    if selector := spec.get("nodeSelector"):
        return _matches(selector, node)
    return spec.get("node", "") in ("", node["metadata"]["name"])


def _matches(selector: str, node: Node) -> bool:
    try:
        return matches(selector, node["metadata"].get("labels", {}))
    except SelectorError:  # confd takes such a selector for one that matches nothing
        return False


def as_number(calico: Calico, node: Node) -> int:
    """Return the AS number of a node: its own, or that of all nodes."""
    own = node["metadata"].get("annotations", {}).get("projectcalico.org/ASNumber")
    return number(own, number(calico.settings.get("default", {}).get("asNumber"), AS_NUMBER))


def number(text: int | str | None, otherwise: int) -> int:
    """Return an AS number, which may be written as 1.10."""
    high, dot, low = str(text or "").partition(".")
    if high.isdecimal() and (low.isdecimal() or not dot):
        return (int(high) << 16) + int(low) if dot else int(high)
    return otherwise


def host_of(peer_ip: str) -> str:
    """Return the address of 10.0.0.1, 10.0.0.1:179, fd00::1 or [fd00::1]:179; "" if it is none."""
    host = peer_ip[1:].partition("]")[0] if peer_ip.startswith("[") else peer_ip
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host if _family(host) else ""


def port_of(peer_ip: str) -> int:
    """Return the port of 10.0.0.1:179 or [fd00::1]:179; 0 if there is none."""
    host, _, port = peer_ip.rpartition(":")
    is_told = host.endswith("]") or host.count(":") == 0
    return int(port) if is_told and host and port.isdecimal() else 0


def _family(host: str) -> int:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0


def _name(peer: BGPPeer) -> str:
    return f"BGPPeer/{peer['metadata']['name']}"
