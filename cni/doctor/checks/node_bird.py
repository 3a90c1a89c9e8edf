"""Checks of this node's BIRD: its sessions, what it exports over them, and whether the router answers. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from cni.contracts.calico_objects import BGPPeer
from cni.contracts.facts import LocalAddress
from cni.contracts.route_facts import Bird, BirdProtocol, Router
from cni.contracts.spiderpool_objects import SpiderEndpoint
from cni.doctor import calico_addresses, calico_node, sessions, suggest
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.checks.calico_setup import find_backend
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.ranges import network
from cni.doctor.sessions import Session
from cni.doctor.verdict import Rule, Verdict, of_address

ESTABLISHED = "Established"
# Which check names what has decided against a route.
CAUSES: Mapping[Rule, str] = {
    "no-session": "bgp-peer-per-node",
    "filter": "bgp-filter",
    "export-disabled": "calico-pool-exports",
    "block": "calico-blocks",
    "services": "bgp-advertises",
    "no-pool": "calico-pool-covers",
}
_BIRDS = {4: "node.bird", 6: "node.bird6"}
_MESH = ("Mesh_", "Node_to_node_")
_SETTLED = 30.0  # seconds after which a router has sent what it sends
_WORDS = {
    "Bad peer AS": "the router has another AS number than the BGPPeer says, or expects another one of this node",
    "Connection refused": "nothing listens on the peer's port 179",
    "Connection closed": "the peer does not know this node as its neighbour, or a firewall resets the connection",
    "Connection rejected": "the peer does not know this node as its neighbour",
    "Hold timer expired": "packets get lost on the way, or the peer has stalled",
    "No route to host": "the peer's host is not in the network of this node",
    "Network is unreachable": "this node has no route to the peer",
}


def _find_sessions(facts: FactReader) -> Iterator[Finding]:
    for family in _families(facts):
        bird: Bird = facts.value(_BIRDS[family])
        if bird["fault"]:
            yield Finding(bird["socket"], bird["fault"], calico_node.PODS, cause=_why_silent(facts))
        elif not bird["protocols"]:
            yield Finding(bird["socket"], f"BIRD has no BGP session for IPv{family}", cause="bgp-peer-per-node")
        for protocol in sessions_of(bird):
            if protocol["state"] != ESTABLISHED:
                yield Finding(protocol["name"], _seen(protocol), _mend(facts, protocol))


def _why_silent(facts: FactReader) -> str:
    """Return the check that names why there is no BIRD: calico-node is told to run none; "" where that is not known."""
    try:
        return "calico-backend" if any(find_backend(facts)) else ""
    except NotKnown:
        return ""


def sessions_of(bird: Bird) -> list[BirdProtocol]:
    """Return the sessions that are to be up. BIRD brings up one with each neighbor: that of the mesh, where a BGPPeer
    names a node of the mesh."""
    up = [one for one in bird["protocols"] if one["state"] == ESTABLISHED]
    by_mesh = {one["neighbor"] for one in up if one["name"].startswith(_MESH)}
    return [one for one in bird["protocols"] if one in up or one["neighbor"] not in by_mesh]


def _families(facts: FactReader) -> list[int]:
    """Return the families that have to have sessions; where the pools are not known, those that have some."""
    pools = calico_addresses.known_pools(facts)
    if pools is not None:
        return calico_addresses.families(pools)
    bird6: Bird | None = facts.value_or(_BIRDS[6], None)
    return [4, 6] if bird6 and bird6["protocols"] else [4]


def _seen(protocol: BirdProtocol) -> str:
    seen = f"its session with {protocol['neighbor']} is {protocol['state']} since {protocol['since']}"
    if error := protocol["last_error"]:
        meaning = next((f": {text}" for words, text in _WORDS.items() if words in error), "")
        return f"{seen}; BIRD's last error is “{error}”{meaning}"
    return f"{seen}, without an error: the peer does not answer on port 179"


def _mend(facts: FactReader, protocol: BirdProtocol) -> Mend | None:
    """Return what mends a wrong AS number: the router's own, or how to come to know it."""
    peers: list[BGPPeer] = facts.value_or("cluster.bgp_peers", [])
    host = protocol["neighbor"]
    named = [one for one in peers if sessions.host_of(one.get("spec", {}).get("peerIP", "")) == host]
    if "Bad peer AS" not in protocol["last_error"] or not named:
        return None
    router: Router | None = facts.value_or("cluster.router", None)
    number = named[0].get("spec", {}).get("asNumber")
    its = router.get("as_number", number) if router else number
    if its != number:
        return suggest.patch(facts, "bgppeer", named[0]["metadata"]["name"], {"asNumber": its})
    return command("vtysh -c 'show bgp summary json' | spiderpool-ipam doctor --only node-bird --router -")


def _find_exports(facts: FactReader) -> Iterator[Finding]:
    for one in calico_addresses.of_node(facts):
        bird: Bird = facts.value(_BIRDS[network(one["address"]).version])
        if bird["fault"]:
            raise NotKnown(bird["fault"])
        up = [protocol for protocol in bird["protocols"] if protocol["state"] == ESTABLISHED]
        if not up:
            cause = "node-bird" if bird["protocols"] else "bgp-peer-per-node"
            yield Finding(one["address"], f"it is exported to nobody: {one['pod']}", cause=cause)
        prefix = str(network(one["address"]))
        for protocol in up:
            if prefix not in {route["prefix"] for route in protocol["exported"]}:
                yield _not_exported(facts, one, protocol)


def _not_exported(facts: FactReader, one: LocalAddress, protocol: BirdProtocol) -> Finding:
    seen = f"BIRD does not export it to {protocol['neighbor']}: the address of {one['pod']}"
    try:
        verdicts = of_address(sessions.calico(facts), facts.value("node.name"), one["address"])
    except NotKnown:
        return Finding(one["address"], seen)
    verdict = _verdict(verdicts, protocol["neighbor"])
    if verdict.is_exported:
        return Finding(
            one["address"], f"{seen}. By Calico's objects it would be ({verdict.text}): it is not in BIRD's table"
        )
    name = f"{verdict.object}: " if verdict.object else ""
    return Finding(one["address"], f"{seen}. {name}{verdict.text}", cause=CAUSES.get(verdict.rule, ""))


def _verdict(verdicts: Sequence[tuple[Session | None, Verdict]], neighbor: str) -> Verdict:
    """Return the verdict for this session; the first one where the objects know no such session any more."""
    return next((verdict for one, verdict in verdicts if one and one.address == neighbor), verdicts[0][1])


def _find_silent(facts: FactReader) -> Iterator[Finding]:
    endpoints: list[SpiderEndpoint] | None = facts.value_or("cluster.spider_endpoints", None)
    name = facts.value("node.name")
    others = endpoints and [one for one in endpoints if _node(one) not in ("", name)]
    if endpoints is not None and not others:
        return
    router: Router | None = facts.value_or("cluster.router", None)
    for fact in _BIRDS.values():
        bird: Bird | None = facts.value_or(fact, None)
        for protocol in bird["protocols"] if bird else []:
            if _is_silent(protocol):
                seen = f"{protocol['neighbor']} takes {len(protocol['exported'])} routes, and has never sent one"
                yield Finding(protocol["name"], seen, _LOOK, cause="bgp-router-view" if router else "")


_LOOK = command(
    "vtysh -c 'show bgp summary json' -c 'show ip route bgp json' -c 'show ipv6 route bgp json'"
    " | spiderpool-ipam doctor --only bgp-router-view --router -"
)


def _node(endpoint: SpiderEndpoint) -> str:
    return endpoint.get("status", {}).get("current", {}).get("node", "")


def _is_silent(protocol: BirdProtocol) -> bool:
    counters = protocol["counters"]
    received = [counters.get(name, [])[:1] for name in ("import_updates", "import_withdraws")]
    return (
        not protocol["name"].startswith(_MESH)
        and protocol["state"] == ESTABLISHED
        and protocol.get("seconds", 0) > _SETTLED
        and bool(protocol["exported"])
        and received == [[0], [0]]
    )


CHECKS = (
    Check(
        id="node-bird",
        part="node",
        severity="failure",
        looks_at="BIRD's sockets, and whether its BGP sessions are Established",
        why="Over a session that is not Established, nobody hears of the pods of this node.",
        to_do=(
            "Compare the BGPPeer's peerIP and asNumber with what the router says of itself, and its neighbours with the"
            " nodes' addresses and AS number. TCP port 179 has to be open from the node to the router or the other way."
        ),
        needs=("node.bird",),
        uses=(
            "node.bird6",
            *calico_addresses.NEEDS,
            *calico_addresses.USES,
            "cluster.bgp_peers",
            "cluster.api",
            "cluster.router",
            "cluster.calico_configs",
            "cluster.installations",
        ),
        find=_find_sessions,
        waits=True,
    ),
    Check(
        id="node-bird-exports",
        part="node",
        severity="failure",
        looks_at="whether BIRD exports each address that this node's pods have of SpiderPool",
        why="What BIRD does not export, the router has no route to.",
        to_do="See what decides against it: it is told where Calico's objects can be read.",
        needs=("node.local_addresses", "node.bird", "node.name"),
        uses=("node.bird6", "node.conflist", "cluster.cluster_informations", *sessions.NEEDS, *sessions.USES),
        find=_find_exports,
        waits=True,
    ),
    Check(
        id="node-router-silent",
        part="node",
        severity="information",
        looks_at="whether a router that takes routes from this node has ever sent any",
        why=(
            "FRR with `bgp ebgp-requires-policy`, which is its default, neither takes nor sends a route, and the"
            " session is Established all the same. From a node there is no other trace of it."
        ),
        to_do="Look at the router: have doctor read what FRR says, with `--router`.",
        needs=("node.bird", "node.name"),
        uses=("node.bird6", "cluster.spider_endpoints", "cluster.router"),
        find=_find_silent,
    ),
)
