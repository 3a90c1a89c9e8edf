"""The check of addresses that SpiderPool must not give: they are somebody else's. Pure."""

from collections.abc import Iterable, Iterator

from cni.contracts.api_objects import Node, ServiceCIDR
from cni.contracts.calico_objects import BGPPeer
from cni.contracts.spiderpool_objects import SpiderCoordinator, SpiderIPPool
from cni.doctor import sessions
from cni.doctor.allocations import reserved_ranges, usable_ranges
from cni.doctor.check import Check, Finding, Mend, manifest
from cni.doctor.facts import FactReader
from cni.doctor.pool_filters import family_of
from cni.doctor.ranges import Address, Range, address_of, network

_RESERVED = """\
apiVersion: spiderpool.spidernet.io/v2beta1
kind: SpiderReservedIP
metadata:
  name: {name}
spec:
  ipVersion: {family}
  ips:
  - {address}
"""


def _find_overlaps(facts: FactReader) -> Iterator[Finding]:
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    reserved = reserved_ranges(facts.value_or("cluster.spider_reserved_ips", []))
    taken = dict(_taken(facts))
    services = {cidr: network(cidr) for cidr in _service_cidrs(facts)}
    for pool in pools:
        name = f"SpiderIPPool/{pool['metadata']['name']}"
        usable = usable_ranges(pool, reserved)
        gateway = address_of(pool["spec"].get("gateway", ""))
        own = {gateway: "the pool's own gateway"} if gateway else {}
        for address, whose in {**taken, **own}.items():
            if any(one.has(address) for one in usable):
                yield Finding(name, f"it gives {address}, which is {whose}", _reserve(address, family_of(pool)))
        for cidr, wanted in services.items():
            if any(one.overlaps(wanted) for one in usable):
                yield Finding(
                    name, f"its range {_overlapping(usable, cidr)} is in {cidr}, where services' addresses are"
                )


def _overlapping(usable: Iterable[Range], cidr: str) -> Range:
    return next(one for one in usable if one.overlaps(network(cidr)))


def _taken(facts: FactReader) -> Iterator[tuple[Address, str]]:
    """Yield the addresses of nodes and routers, and whose they are."""
    peers: list[BGPPeer] = facts.value_or("cluster.bgp_peers", [])
    for peer in peers:
        if address := address_of(sessions.host_of(peer.get("spec", {}).get("peerIP", ""))):
            yield address, f"the router of BGPPeer/{peer['metadata']['name']}"
    nodes: list[Node] = facts.value("cluster.nodes")
    for node in nodes:
        told = [one["address"] for one in node.get("status", {}).get("addresses", [])]
        for text in (*told, sessions.address(node, 4), sessions.address(node, 6)):
            if address := address_of(text):
                yield address, f"an address of Node/{node['metadata']['name']}"


def _service_cidrs(facts: FactReader) -> set[str]:
    """Return where services' addresses are, as the API or SpiderPool's controller tells it."""
    told: list[ServiceCIDR] = facts.value_or("cluster.service_cidrs", [])
    coordinators: list[SpiderCoordinator] = facts.value_or("cluster.spider_coordinators", [])
    found = {cidr for one in told for cidr in one.get("spec", {}).get("cidrs", [])}
    return found | {cidr for one in coordinators for cidr in one.get("status", {}).get("serviceCIDR", [])}


def _reserve(address: Address, family: int) -> Mend:
    name = f"not-for-pods-{address}".replace(":", "-").replace(".", "-").rstrip("-")
    return manifest(_RESERVED, name=name, family=family, address=str(address))


CHECKS = (
    Check(
        id="sp-pool-overlaps",
        part="spiderpool",
        severity="failure",
        looks_at="the pools' ranges against addresses of nodes, routers, services, and the pools' own gateways",
        why="A pod that is given an address of somebody else takes it from them, or hears nothing.",
        to_do=(
            "Reserve the address, which keeps it from new pods, and delete a pod that has it. A range that overlaps the"
            " services' has to be another one."
        ),
        needs=("cluster.spider_ip_pools", "cluster.nodes"),
        uses=(
            "cluster.spider_reserved_ips",
            "cluster.bgp_peers",
            "cluster.service_cidrs",
            "cluster.spider_coordinators",
        ),
        find=_find_overlaps,
        before_install=True,
        waits=True,
    ),
)
