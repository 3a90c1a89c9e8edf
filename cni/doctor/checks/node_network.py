"""Checks of this node's network, as far as Calico's pods need it. Pure."""

from collections.abc import Iterator

from cni.contracts.api_objects import Node
from cni.contracts.facts import Conflist, Families
from cni.contracts.route_facts import Bird, KernelRoute
from cni.doctor import calico_addresses, calico_node, sessions
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.ranges import address_of, network

_GATEWAY = "169.254.1.1"
_NODENAME = "/var/lib/calico/nodename"


def _find_nodename(facts: FactReader) -> Iterator[Finding]:
    name: str | None = facts.value("node.calico_nodename")
    conflist: Conflist | None = facts.value_or("node.conflist", None)
    nodes: list[Node] | None = facts.value_or("cluster.nodes", None)
    if not name:
        if not (conflist and conflist["nodename_is_optional"]):
            yield Finding(_NODENAME, "it is missing" if name is None else "it is empty", calico_node.PODS)
    elif nodes is not None and name not in {node["metadata"]["name"] for node in nodes}:
        yield Finding(_NODENAME, f"it says {name}, and the cluster has no node of that name", calico_node.PODS)


def _find_default_route(facts: FactReader) -> Iterator[Finding]:
    if not facts.value("node.route_to_gateway") and _has_pools(facts, 4):
        seen = "this node has no route to it, as it has no IPv4 default route"
        yield Finding(_GATEWAY, seen, _give_route(facts))


def _give_route(facts: FactReader) -> Mend:
    """Return the command that adds a default route by way of the router, or else a route to the gateway alone.

    The router is a BGP peer that is no node, in a network that this node is in.
    """
    bird: Bird | None = facts.value_or("node.bird", None)
    nodes: list[Node] | None = facts.value_or("cluster.nodes", None)
    routes: list[KernelRoute] = facts.value_or("node.routes", [])
    near = [network(one["prefix"]) for one in routes if one["type"] == "unicast" and not one["gateways"]]
    others = {sessions.address(node, 4) for node in nodes or []}
    for protocol in bird["protocols"] if bird and nodes is not None else []:
        address = address_of(protocol["neighbor"])
        if address and protocol["neighbor"] not in others and any(address in cidr for cidr in near):
            return command("ip route add default via {}", address)
    return command("ip route add {} dev UPLINK", _GATEWAY)


def _find_forwarding(facts: FactReader) -> Iterator[Finding]:
    families: Families = facts.value("node.forwarding")
    if not families["ipv4"] and _has_pools(facts, 4):
        mend = command("sysctl -w net.ipv4.ip_forward=1")
        yield Finding("net.ipv4.ip_forward", "it is 0", mend)
    if not families["ipv6"] and _has_pools(facts, 6):
        mend = command("sysctl -w net.ipv6.conf.all.forwarding=1")
        yield Finding("net.ipv6.conf.all.forwarding", "it is 0, and there are IPv6 pools", mend)


def _has_pools(facts: FactReader, family: int) -> bool:
    """Tell whether SpiderPool has pools of a family; where that is not known, it has IPv4 ones."""
    pools = calico_addresses.known_pools(facts)
    return family == 4 if pools is None else family in calico_addresses.families(pools)


CHECKS = (
    Check(
        id="node-calico-nodename",
        part="node",
        severity="failure",
        looks_at="/var/lib/calico/nodename, and the Node of that name",
        why="Calico's plugin needs that file, and fails before it calls ours.",
        to_do="See why calico-node does not run on this node: it writes the file when it starts.",
        needs=("node.calico_nodename",),
        uses=("node.conflist", "cluster.nodes"),
        find=_find_nodename,
        before_install=True,
        waits=True,
    ),
    Check(
        id="node-default-route",
        part="node",
        severity="failure",
        looks_at="whether the node has a route to 169.254.1.1, the gateway of Calico's pods",
        why=(
            "The kernel answers a pod's ARP request for its gateway only if it has a route to it. Without one, IPv4 is"
            " dead in every pod of this node, though the router has the pods' routes, and IPv6 works."
        ),
        to_do=(
            "Give the node a default route, now and in its network's configuration: to the router, as in the guide. Or"
            " give it a route to 169.254.1.1 by its uplink. Then `node-way-to-others` says what else it needs."
        ),
        needs=("node.route_to_gateway",),
        uses=("node.bird", "node.routes", "cluster.nodes", *calico_addresses.NEEDS, *calico_addresses.USES),
        find=_find_default_route,
        before_install=True,
        waits=True,
    ),
    Check(
        id="node-forwarding",
        part="node",
        severity="failure",
        looks_at="net.ipv4.ip_forward and net.ipv6.conf.all.forwarding, where there are pools of the family",
        why="A node that does not forward drops all that comes from or goes to its pods.",
        to_do="Set the variables to 1, now and in /etc/sysctl.d.",
        needs=("node.forwarding",),
        uses=(*calico_addresses.NEEDS, *calico_addresses.USES),
        find=_find_forwarding,
        before_install=True,
        waits=True,
    ),
)
