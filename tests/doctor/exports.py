"""What the verdict says that the nodes of a case export, as BIRD's own `exported.json` has it."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from cni.contracts import api_objects, calico_objects
from cni.contracts.api_objects import Node
from cni.doctor.ranges import Network, network
from cni.doctor.sessions import Calico, Session, sessions
from cni.doctor.verdict import Route, of_route

KINDS: dict[str, Any] = {
    "IPPool": calico_objects.IPPool,
    "BGPPeer": calico_objects.BGPPeer,
    "BGPFilter": calico_objects.BGPFilter,
    "BGPConfiguration": calico_objects.BGPConfiguration,
    "BlockAffinity": calico_objects.BlockAffinity,
    "Node": api_objects.Node,
    "Pod": api_objects.Pod,
}


def of_kind(objects: list[Any], kind: str) -> list[Any]:
    """Return the objects of a kind, reduced as doctor reads them."""
    return [TypeAdapter(KINDS[kind]).validate_python(one) for one in objects if one["kind"] == kind]


def calico(objects: list[Any], version: tuple[int, int] = (3, 29)) -> Calico:
    """Return Calico's objects of a case."""
    kinds = ("Node", "IPPool", "BGPPeer", "BGPFilter", "BGPConfiguration", "BlockAffinity")
    nodes, pools, peers, filters, configurations, affinities = (of_kind(objects, kind) for kind in kinds)
    return Calico(nodes, pools, peers, filters, configurations, affinities, version)


def exported(objects: list[Any], version: tuple[int, int] = (3, 29), metric: int = 1024) -> dict[str, Any]:
    """Return {node: {family: prefixes}}: what each node exports to those that are no node."""
    read, pods = calico(objects, version), of_kind(objects, "Pod")
    return {
        node["metadata"]["name"]: {
            f"ipv{family}": sorted(str(one) for one in set(_to_routers(read, pods, node, family, metric)))
            for family in (4, 6)
        }
        for node in read.nodes
    }


def _to_routers(read: Calico, pods: list[Any], node: Node, family: int, metric: int) -> Iterator[Network]:
    name = node["metadata"]["name"]
    for session in sessions(read, name, family):
        if session.object == "mesh":
            continue
        routes = [*_own(read, pods, name, family, metric), *_learned(read, pods, node, family, metric)]
        yield from (one.prefix for one in routes if of_route(read, name, session, one).is_exported)


def _own(read: Calico, pods: list[Any], name: str, family: int, metric: int) -> Iterator[Route]:
    for pod in pods:
        if pod["spec"]["nodeName"] == name:
            for text in pod["metadata"]["annotations"]["cni.projectcalico.org/podIPs"].split(","):
                if ipaddress.ip_interface(text).version == family:
                    yield Route(network(text), metric=metric)
    for affinity in read.affinities:
        prefix = network(affinity["spec"]["cidr"])
        if affinity["spec"].get("node") == name and prefix.version == family:
            yield Route(prefix, interface="")


def _learned(read: Calico, pods: list[Any], node: Node, family: int, metric: int) -> Iterator[Route]:
    """Yield what the mesh's other nodes tell this one."""
    name = node["metadata"]["name"]
    others = {one["metadata"]["name"] for one in read.nodes} - {name}
    if any(session.object == "mesh" for session in sessions(read, name, family)):
        mesh = Session("mesh", "", is_internal=True)
        for other in others:
            for route in _own(read, pods, other, family, metric):
                if of_route(read, other, mesh, route).is_exported:
                    yield Route(route.prefix, interface="eth0", is_remote=True)
