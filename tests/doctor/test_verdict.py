"""The export verdict equals what BIRD did in the lab, and what confd's templates say beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni.doctor.ranges import network
from cni.doctor.sessions import Session, sessions
from cni.doctor.verdict import Route, first_match, of_address, of_route
from tests.doctor.exports import calico, exported
from tests.requirements import ROOT

VECTORS = sorted((ROOT / "tests/lab/export").glob("*/objects.json"))
# The objects do not tell that the router has another AS number: over a session that is not up, nothing is exported.
NO_SESSION = {"wrong-as"}


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.parent.name)
def test_the_verdict_equals_what_bird_exported_in_the_lab(path: Path) -> None:
    seen = json.loads((path.parent / "exported.json").read_text())
    computed = exported(json.loads(path.read_text()))
    if path.parent.name in NO_SESSION:
        assert seen == {node: {"ipv4": [], "ipv6": []} for node in computed}
    else:
        assert computed == seen


def pool(name: str, cidr: str, **spec: Any) -> Any:
    return {"kind": "IPPool", "metadata": {"name": name}, "spec": {"cidr": cidr, **spec}}


def node(name: str, number: int, **annotations: str) -> Any:
    own = {
        "projectcalico.org/IPv4Address": f"172.16.13.{number}/24",
        "projectcalico.org/IPv6Address": f"fd00:16::{number}/64",
    }
    metadata = {"name": name, "labels": {"name": name}, "annotations": {**own, **annotations}}
    return {"kind": "Node", "metadata": metadata}


def peer(name: str = "router", **spec: Any) -> Any:
    return {"kind": "BGPPeer", "metadata": {"name": name}, "spec": {"peerIP": "172.16.13.1", "asNumber": 23000, **spec}}


def settings(**spec: Any) -> Any:
    return {
        "kind": "BGPConfiguration",
        "metadata": {"name": "default"},
        "spec": {"nodeToNodeMeshEnabled": False, **spec},
    }


def block(cidr: str, name: str = "node1", **spec: Any) -> Any:
    return {
        "kind": "BlockAffinity",
        "metadata": {"name": "b"},
        "spec": {"cidr": cidr, "node": name, "state": "confirmed", "deleted": "false", **spec},
    }


def rules(*export: Any) -> Any:
    return {"kind": "BGPFilter", "metadata": {"name": "f"}, "spec": {"exportV4": list(export)}}


NODES = [node("node1", 11), node("node2", 12)]
POD = "10.244.100.1"
WIDE = pool("wide", "10.244.0.0/16")
BASE = [*NODES, settings(), peer(filters=["f"]), WIDE]
ANY = {"prefixLength": {"min": 32}}
REJECT = {"action": "Reject", "cidr": "10.244.0.0/16", "matchOperator": "In"}


@pytest.mark.parametrize(
    ("more", "is_exported", "rule", "name"),
    [
        ([], True, "pool", "IPPool/wide"),
        ([pool("no", "10.244.100.0/24", disableBGPExport=True)], False, "export-disabled", "IPPool/no"),
        ([rules(REJECT)], False, "filter", "BGPFilter/f"),
        ([rules({**REJECT, "action": "Accept"}, REJECT)], True, "filter", "BGPFilter/f"),
        ([rules({**REJECT, "matchOperator": "NotIn"})], True, "pool", "IPPool/wide"),
        ([rules({**REJECT, "matchOperator": "Equal"})], True, "pool", "IPPool/wide"),
        ([rules({**REJECT, "matchOperator": "NotEqual"})], False, "filter", "BGPFilter/f"),
        ([rules({**REJECT, "prefixLength": {"max": 31}})], True, "pool", "IPPool/wide"),
        ([rules({**REJECT, "source": "RemotePeers"})], True, "pool", "IPPool/wide"),
        ([rules({"action": "Reject", "interface": "cali*"})], False, "filter", "BGPFilter/f"),
        ([rules({"action": "Reject", "interface": "eth*"})], True, "pool", "IPPool/wide"),
        ([rules({"action": "Reject", "peerType": "iBGP"})], True, "pool", "IPPool/wide"),
        ([rules({"action": "Reject", "peerType": "eBGP"})], False, "filter", "BGPFilter/f"),
        ([rules({"action": "Reject", "communities": {"values": ["1:2"]}})], True, "pool", "IPPool/wide"),
        ([rules({"action": "Reject"})], False, "filter", "BGPFilter/f"),
        # BIRD's patterns have no brackets, and a name is matched as a whole.
        ([rules({"action": "Reject", "interface": "[c]ali*"})], True, "pool", "IPPool/wide"),
        ([rules({"action": "Reject", "interface": "cali"})], True, "pool", "IPPool/wide"),
        ([rules({"action": "Reject", "interface": "c\\ali???????????"})], False, "filter", "BGPFilter/f"),
        # With a prefixLength, a rule has a set of prefixes: none is equal to it.
        ([rules({**REJECT, "cidr": f"{POD}/32", "matchOperator": "Equal"})], False, "filter", "BGPFilter/f"),
        ([rules({**REJECT, "cidr": f"{POD}/32", "matchOperator": "Equal", **ANY})], True, "pool", "IPPool/wide"),
        ([rules({**REJECT, "cidr": f"{POD}/32", "matchOperator": "NotEqual", **ANY})], False, "filter", "BGPFilter/f"),
        # confd knows one pool for each CIDR.
        ([pool("a", "10.244.100.0/24"), pool("b", "10.244.100.9/24", disableBGPExport=True)], True, "pool", "IPPool/a"),
        (
            [pool("b", "10.244.100.0/24"), pool("a", "10.244.100.9/24", disableBGPExport=True)],
            False,
            "export-disabled",
            "IPPool/a",
        ),
        ([block("10.244.100.0/26")], False, "block", "BlockAffinity/b"),
        ([block("10.244.100.0/26", name="node2")], True, "pool", "IPPool/wide"),
        ([block("10.244.100.0/26", state="pending")], True, "pool", "IPPool/wide"),
        ([block("10.244.100.0/26", deleted="true")], True, "pool", "IPPool/wide"),
        ([block("10.244.100.1/32")], True, "block", "BlockAffinity/b"),
        # Of blocks in blocks, the first by its text decides.
        ([block("10.244.100.1/32"), block("10.244.100.0/26")], False, "block", "BlockAffinity/b"),
    ],
)
def test_the_first_rule_of_the_filter_that_matches_decides(
    more: list[Any], is_exported: bool, rule: str, name: str
) -> None:
    ((_, verdict),) = of_address(calico([*BASE, *more]), "node1", POD)
    assert (verdict.is_exported, verdict.rule, verdict.object) == (is_exported, rule, name)


def test_without_a_pool_that_covers_it_nothing_is_exported() -> None:
    ((_, verdict),) = of_address(calico([*NODES, settings(), peer()]), "node1", POD)
    assert verdict.text == "no IPPool covers 10.244.100.1/32"
    assert not verdict.is_exported


def test_without_a_session_nothing_is() -> None:
    ((session, verdict),) = of_address(calico([*NODES, settings(), WIDE]), "node1", POD)
    assert (session, verdict.rule) == (None, "no-session")


def test_a_range_that_is_advertised_for_services_is_exported_without_a_pool() -> None:
    objects = [*NODES, settings(serviceLoadBalancerIPs=[{"cidr": "10.244.0.0/16"}]), peer()]
    assert [verdict.rule for _, verdict in of_address(calico(objects), "node1", POD)] == ["services"]


EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
REFLECTOR = "projectcalico.org/RouteReflectorClusterID"


@pytest.mark.parametrize(
    ("key", "cidr", "labels", "annotations", "is_exported"),
    [
        ("serviceClusterIPs", f"{POD}/32", {}, {}, True),
        ("serviceClusterIPs", f"{POD}/32", {EXCLUDED: "true"}, {}, False),
        ("serviceExternalIPs", f"{POD}/32", {EXCLUDED: "false"}, {}, True),
        ("serviceLoadBalancerIPs", "10.244.100.0/31", {}, {}, True),
        ("serviceLoadBalancerIPs", f"{POD}/32", {}, {}, False),
        ("serviceLoadBalancerIPs", f"{POD}/32", {EXCLUDED: "true"}, {REFLECTOR: "1.0.0.1"}, True),
    ],
)
def test_a_node_advertises_only_its_part_of_the_services(
    key: str, cidr: str, labels: dict[str, str], annotations: dict[str, str], is_exported: bool
) -> None:
    one = node("node1", 11, **annotations)
    one["metadata"]["labels"].update(labels)
    ((_, verdict),) = of_address(calico([one, settings(**{key: [{"cidr": cidr}]}), peer()]), "node1", POD)
    assert (verdict.is_exported, verdict.rule) == (is_exported, "services" if is_exported else "no-pool")


@pytest.mark.parametrize(
    ("version", "metric", "is_exported"),
    [((3, 29), 0, False), ((3, 33), 0, True), ((3, 33), 1024, False), ((0, 0), 0, False)],
)
def test_in_a_block_the_metric_counts_from_3_33_on(version: tuple[int, int], metric: int, is_exported: bool) -> None:
    read = calico([*BASE, block("10.244.100.0/26")], version)
    session = Session("BGPPeer/router", "172.16.13.1", is_internal=False)
    assert of_route(read, "node1", session, Route(network(POD), metric=metric)).is_exported == is_exported


@pytest.mark.parametrize(("is_internal", "is_exported"), [(True, False), (False, True)])
def test_a_tunnels_route_is_told_to_ebgp_only(is_internal: bool, is_exported: bool) -> None:
    session = Session("x", "172.16.13.1", is_internal)
    route = Route(network("10.244.1.0/26"), interface="vxlan.calico", is_remote=True)
    assert of_route(calico(BASE), "node1", session, route).is_exported == is_exported


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([peer()], ["BGPPeer/router"]),
        ([peer(node="node1")], ["BGPPeer/router"]),
        ([peer(node="node2")], []),
        ([peer(nodeSelector="name == 'node1'")], ["BGPPeer/router"]),
        ([peer(nodeSelector="name == 'node2'")], []),
        ([peer(nodeSelector="not ( a selector")], []),
        ([peer(nodeSelector="all()", node="node2")], ["BGPPeer/router"]),
        ([peer(peerIP="172.16.13.11")], []),
        ([peer(peerIP="fd00:16::1")], []),
        ([peer(peerIP="172.16.13.1:1790")], ["BGPPeer/router"]),
        ([peer(peerIP="172.16.13.12", asNumber=64512, node="node1")], ["BGPPeer/router"]),
        ([peer(peerIP="172.16.13.11", asNumber=64512, node="node2")], ["BGPPeer/router"]),
        ([peer(peerIP="172.16.13.11", asNumber=64513, node="node2")], []),
        ([peer(peerIP="", peerSelector="name == 'node2'")], ["BGPPeer/router"]),
        ([peer(peerIP="", peerSelector="name == 'node1'", node="node2")], ["BGPPeer/router"]),
        ([settings(nodeToNodeMeshEnabled=True)], ["mesh"]),
    ],
)
def test_a_node_has_the_sessions_that_confd_would_give_it(objects: list[Any], expected: list[str]) -> None:
    base = [*NODES, *([] if objects[0]["kind"] == "BGPConfiguration" else [settings()])]
    found = sessions(calico([*base, *objects]), "node1", 4)
    assert [session.object for session in found] == expected


def test_a_peer_has_a_session_for_each_of_its_ports() -> None:
    peers = [peer(), peer("again", peerIP="172.16.13.1:179", node="node1"), peer("other", peerIP="172.16.13.1:1790")]
    found = sessions(calico([*NODES, settings(), *peers]), "node1", 4)
    assert [(one.object, one.port) for one in found] == [("BGPPeer/router", 179), ("BGPPeer/other", 1790)]


def test_a_node_is_met_on_the_port_that_it_listens_on() -> None:
    own = {"kind": "BGPConfiguration", "metadata": {"name": "node.node2"}, "spec": {"listenPort": 1790}}
    by_selector, by_address = peer(peerSelector="name == 'node2'"), peer(peerIP="172.16.13.12", asNumber=64512)
    for objects in ([settings(), by_selector], [settings(), by_address], [settings(nodeToNodeMeshEnabled=True)]):
        assert [one.port for one in sessions(calico([*NODES, own, *objects]), "node1", 4)] == [1790]
    assert [one.port for one in sessions(calico([*NODES, settings(listenPort=1791), by_selector]), "node1", 4)] == [
        1791
    ]


def test_of_the_mesh_and_a_peer_that_is_a_node_the_mesh_comes_first() -> None:
    objects = [*NODES, settings(nodeToNodeMeshEnabled=True), peer(peerSelector="all()", filters=["f"])]
    assert [(one.object, one.filters) for one in sessions(calico(objects), "node1", 4)] == [("mesh", ())]


def test_a_route_reflector_has_no_part_in_the_mesh() -> None:
    reflector = node("node2", 12, **{"projectcalico.org/RouteReflectorClusterID": "1.0.0.1"})
    assert sessions(calico([NODES[0], reflector]), "node1", 4) == []
    assert [session.object for session in sessions(calico(NODES), "node1", 4)] == ["mesh"]


def test_a_node_without_an_address_of_a_family_has_no_session_of_it() -> None:
    bare = {"kind": "Node", "metadata": {"name": "node1"}}
    assert sessions(calico([bare, NODES[1], peer()]), "node1", 4) == []


def test_the_place_of_the_rule_is_told() -> None:
    session = Session("x", "y", is_internal=False)
    found = first_match(
        [{"action": "Accept", "cidr": "192.0.2.0/24"}, {"action": "Reject"}], session, Route(network(POD))
    )
    assert found == (1, {"action": "Reject"})
