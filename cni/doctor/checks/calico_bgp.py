"""Checks of Calico's BGP: whether each node has a session, and what the peers' filters take away. Pure."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import BGPFilter, BGPFilterRule, BGPPeer
from cni.doctor import calico_addresses, sessions, suggest
from cni.doctor.calico_addresses import CalicoPool
from cni.doctor.check import Check, Finding, Mend
from cni.doctor.facts import FactReader
from cni.doctor.ranges import Address, Range, network
from cni.doctor.sessions import Session
from cni.doctor.verdict import Route, first_match

Key = Literal["exportV4", "exportV6"]
_NODES = ("node", "nodeSelector")  # what of a BGPPeer says which nodes it is for
_SHOWN = 3  # peers in one finding
_KEYS: dict[int, Key] = {4: "exportV4", 6: "exportV6"}


def _find_filter(facts: FactReader) -> Iterator[Finding]:
    peers: list[BGPPeer] = facts.value("cluster.bgp_peers")
    spider_pools = calico_addresses.pools(facts)
    named = {name for peer in peers for name in peer.get("spec", {}).get("filters") or []}
    filters: list[BGPFilter] = facts.value("cluster.bgp_filters") if named else []
    for one in filters:
        name = one["metadata"]["name"]
        by = [peer for peer in peers if name in (peer.get("spec", {}).get("filters") or [])]
        for family, is_internal in product(_KEYS, (False, True)):
            names = [_name(peer) for peer in _of_family(by, family) if _is_internal(facts, peer) is is_internal]
            session = Session(", ".join(names), "", is_internal)
            ranges = [(pool, part) for pool in spider_pools for part in pool.usable if part.first.version == family]
            for pool, wanted in ranges if names else []:
                yield from _rejected(facts, one, pool, wanted, session)


def _is_internal(facts: FactReader, peer: BGPPeer) -> bool:
    """Tell whether a peer is of the nodes' AS, as far as no node has another: a rule may be for such peers only."""
    spec, configurations = peer.get("spec", {}), facts.value_or("cluster.bgp_configurations", [])
    calico = sessions.Calico([], configurations=configurations)
    own = sessions.number(calico.settings.get("default", {}).get("asNumber"), sessions.AS_NUMBER)
    return bool(spec.get("peerSelector")) or sessions.number(spec.get("asNumber"), 0) == own


def _rejected(
    facts: FactReader, one: BGPFilter, pool: CalicoPool, wanted: Range, session: Session
) -> Iterator[Finding]:
    key = _KEYS[wanted.first.version]
    rules = one.get("spec", {}).get(key) or []
    for address in _samples(wanted, rules):
        found = first_match(rules, session, Route(network(str(address))))
        if found and found[1]["action"] != "Accept":
            seen = f"rule {found[0] + 1} of its {key} rejects {address} of {pool.name}, for {session.object}"
            mend = _accepting(facts, one, key, rules, str(pool.subnet))
            yield Finding(f"BGPFilter/{one['metadata']['name']}", seen, mend)
            return


def _samples(wanted: Range, rules: Sequence[BGPFilterRule]) -> Iterator[Address]:
    """Yield addresses of a range such that each rule that takes any of the range takes one of these."""
    yield from (wanted.first, wanted.last)
    kind = type(wanted.first)
    for rule in rules:
        if "cidr" in rule and wanted.overlaps(cidr := network(rule["cidr"])):
            ends = (int(cidr.network_address), int(cidr.broadcast_address))
            edges = (ends[0] - 1, *ends, ends[1] + 1)
            yield from (kind(edge) for edge in edges if int(wanted.first) <= edge <= int(wanted.last))


def _accepting(facts: FactReader, one: BGPFilter, key: Key, rules: Sequence[BGPFilterRule], subnet: str) -> Mend | None:
    """Return the command that has the filter accept a subnet first; None where a rule of it was not read as a whole."""
    if any("communities" in rule or "asPathPrefix" in rule for rule in rules):
        return None
    accept: dict[str, Any] = {"action": "Accept", "matchOperator": "In", "cidr": subnet}
    return suggest.patch(facts, "bgpfilter", one["metadata"]["name"], {key: [accept, *rules]})


def _find_peers(facts: FactReader) -> Iterator[Finding]:
    calico = sessions.calico(facts)
    families = calico_addresses.families(calico_addresses.pools(facts))
    by_family = {family: _of_family(calico.peers, family) for family in families}
    for node in calico.nodes:
        for family, peers in by_family.items():
            own = sessions.address(node, family)
            if own and not sessions.has_session(calico, node["metadata"]["name"], family):
                seen = f"no BGPPeer selects it for IPv{family}, and the mesh is off"
                mend = _peer(facts, peers, node, family)
                seen += f"; {_selections(peers)}" if peers and not mend else ""
                yield Finding(f"Node/{node['metadata']['name']}", seen, mend)


def _of_family(peers: Sequence[BGPPeer], family: int) -> list[BGPPeer]:
    """Return the peers that nodes may have sessions of a family with; those named by labels may be of any."""
    found = [(peer, peer.get("spec", {})) for peer in peers]
    hosts = [(peer, spec, sessions.host_of(spec.get("peerIP", ""))) for peer, spec in found]
    return [
        peer
        for peer, spec, host in hosts
        if not spec.get("localWorkloadSelector")
        and (spec.get("peerSelector") or (host and network(host).version == family))
    ]


def _peer(facts: FactReader, peers: Sequence[BGPPeer], node: Node, family: int) -> Mend | None:
    """Return how to give a node the only peer that there is; None where there are several: one may be of another rack.

    A peer that several BGPPeers give to other nodes is one.
    """
    specs = [{key: value for key, value in one.get("spec", {}).items() if key not in _NODES} for one in peers]
    if not specs or any(one != specs[0] for one in specs) or specs[0].get("peerSelector"):
        return None
    if sessions.host_of(peers[0]["spec"]["peerIP"]) == sessions.address(node, family):
        return None
    if len(peers) == 1 and peers[0]["spec"].get("nodeSelector"):
        return suggest.patch(facts, "bgppeer", peers[0]["metadata"]["name"], {"nodeSelector": "all()"})
    return suggest.bgp_peer(node["metadata"]["name"], family, peers[0])


def _selections(peers: Sequence[BGPPeer]) -> str:
    """Say which nodes some peers are for."""
    more = f" and {len(peers) - _SHOWN} more" if len(peers) > _SHOWN else ""
    return ", ".join(f"{_name(one)} selects {_selection(one)}" for one in peers[:_SHOWN]) + more


def _selection(peer: BGPPeer) -> str:
    spec = peer.get("spec", {})
    return spec.get("nodeSelector") or (f"the node {spec['node']}" if spec.get("node") else "all nodes")


def _name(peer: BGPPeer) -> str:
    return f"BGPPeer/{peer['metadata']['name']}"


CHECKS = (
    Check(
        id="bgp-peer-per-node",
        part="calico",
        severity="failure",
        looks_at="whether each node has a BGP session for each family in use: a BGPPeer, or the mesh",
        why="A node without a session tells nobody of its pods, and hears of no others.",
        to_do="Have a BGPPeer select the node: by nodeSelector, by node, or without either, which selects all nodes.",
        needs=(*calico_addresses.NEEDS, *sessions.NEEDS),
        uses=(*calico_addresses.USES, "cluster.api", *sessions.USES),
        find=_find_peers,
        before_install=True,
        waits=True,
    ),
    Check(
        id="bgp-filter",
        part="calico",
        severity="failure",
        looks_at="what the BGPFilters that BGPPeers name reject of the ranges of SpiderIPPools",
        why="What a peer's filter rejects is not exported to it, whatever the IPPools say.",
        to_do="Have the filter accept the subnet before the rule that rejects it, or take the filter from the peer.",
        needs=(*calico_addresses.NEEDS, "cluster.bgp_peers"),
        uses=(*calico_addresses.USES, "cluster.bgp_filters", "cluster.bgp_configurations", "cluster.api"),
        find=_find_filter,
        before_install=True,
        waits=True,
    ),
)
