"""Which values BIRD or confd refuses, and with them the whole configuration: the real ones, and the check."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.doctor import bird_node
from tests.doctor.bird_node import BirdNode
from tests.doctor.documents import CLUSTER, calico_node, changed, found, guide, only, patched
from tests.doctor.exports import of_kind

ADDRESSES = {"projectcalico.org/IPv4Address": "172.16.13.11/24", "projectcalico.org/IPv6Address": "fd00:16::11/64"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BirdNode]:
    with bird_node.running(tmp_path_factory.mktemp("node")) as running:
        yield running


def made(kind: str, name: str, **spec: Any) -> Any:
    return {"kind": kind, "metadata": {"name": name}, "spec": spec}


def rules(**keys: Any) -> Any:
    """Return a BGPFilter; no peer names it."""
    return made("BGPFilter", "unused", **{key: [{"action": "Accept"}, rule] for key, rule in keys.items()})


def rule(cidr: str, **more: Any) -> Any:
    return {"action": "Reject", "matchOperator": "In", "cidr": cidr, **more}


def settings(**spec: Any) -> Any:
    return made("BGPConfiguration", "default", **spec)


def reflector(cluster_id: str) -> Any:
    annotations = {**ADDRESSES, "projectcalico.org/RouteReflectorClusterID": cluster_id}
    return {"kind": "Node", "metadata": {"name": "node1", "annotations": annotations}, "spec": {}}


# What is refused, and what the finding says of it.
REFUSED = [
    (rules(exportV4=rule("10.1.2.3/16")), "item 2 of its exportV4: BIRD does not take 10.1.2.3/16, but 10.1.0.0/16"),
    (rules(importV4=rule("10.1.2.3/16")), "item 2 of its importV4: BIRD does not take 10.1.2.3/16, but 10.1.0.0/16"),
    (rules(exportV6=rule("fd00::1/64")), "item 2 of its exportV6: BIRD does not take fd00::1/64, but fd00::/64"),
    (rules(exportV4=rule("10.0.0.0/255.0.0.0")), "BIRD does not take 10.0.0.0/255.0.0.0, but 10.0.0.0/8"),
    (rules(exportV4=rule("fd00::/64")), "fd00::/64 is no IPv4 range"),
    (rules(exportV4={"action": "Reject", "cidr": "10.0.0.0/8"}), "its matchOperator is missing"),
    (rules(exportV4=rule("10.0.0.0/8", matchOperator="in")), "its matchOperator is in, and has to be In or"),
    (rules(exportV4={"action": "reject"}), "its action is reject, and has to be Accept or Reject"),
    (rules(exportV4={"action": "Reject", "interface": 'ca"li'}), "its interface has a quote"),
    (settings(serviceClusterIPs=[{"cidr": "10.96.0.1/12"}]), "item 1 of its serviceClusterIPs: BIRD does not take"),
    (settings(serviceExternalIPs=[{"cidr": "fd00::1/64"}]), "item 1 of its serviceExternalIPs: BIRD does not take"),
    (settings(serviceLoadBalancerIPs=[{"cidr": "10.9.0.1/24"}]), "its serviceLoadBalancerIPs: BIRD does not take"),
    (
        settings(prefixAdvertisements=[{"cidr": "10.9.0.1/24", "communities": ["1:2"]}]),
        "item 1 of its prefixAdvertisements: BIRD does not take 10.9.0.1/24, but 10.9.0.0/24",
    ),
    (reflector("244.0.0.1/32"), "its projectcalico.org/RouteReflectorClusterID is 244.0.0.1/32: BIRD does not take"),
    (made("BGPPeer", "p", peerIP="172.16.13.1"), "its asNumber is missing, and has to be that of 172.16.13.1"),
    (made("BGPPeer", "p", peerIP="172.16.13.1", asNumber=0), "its asNumber is 0, and has to be that of"),
    (made("BGPPeer", "p", peerIP="fe80::1", asNumber=23000), "its peerIP is fe80::1, which is the same on each link"),
]
TAKEN = [
    rules(exportV4=rule("10.1.0.0/16"), exportV6=rule("FD00:0:0::/64"), importV4=rule("10.0.0.1")),
    rules(exportV6=rule("10.0.0.0/8")),  # it matches nothing
    rules(exportV4={"action": "Reject", "interface": "a b;{}"}),
    settings(serviceClusterIPs=[{"cidr": "10.96.0.0/12"}], serviceExternalIPs=[{"cidr": "fd00::/64"}]),
    reflector("244.0.0.1"),
    made("BGPPeer", "p", peerIP="router.example", asNumber=1),
    made("BGPPeer", "p", peerIP="172.16.13.1/32"),
    made("BGPPeer", "p", peerSelector="all()"),
    reflector("rack1"),  # Calico does not look at it
]
PEER = made("BGPPeer", "peer", peerIP="172.16.13.12", asNumber=64512)  # so that a reflector has a client


def facts_of(one: Any) -> Any:
    """Return the facts of a cluster that has this object."""
    name = {
        "BGPFilter": "bgp_filters",
        "BGPConfiguration": "bgp_configurations",
        "BGPPeer": "bgp_peers",
        "Node": "nodes",
    }[one["kind"]]
    return guide({**CLUSTER, name: of_kind([one], one["kind"])})


@pytest.mark.parametrize(("one", "seen"), REFUSED, ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_refused_is_found(node: BirdNode, one: Any, seen: str) -> None:
    assert refuses(node, one)
    finding = only(facts_of(one), "bgp-refused")
    assert finding["object"] == f"{one['kind']}/{one['metadata']['name']}"
    assert seen in finding["seen"]


@pytest.mark.parametrize("one", TAKEN, ids=str)
def test_what_is_taken_is_not(node: BirdNode, one: Any) -> None:
    assert not refuses(node, one)
    assert not found(facts_of(one), "bgp-refused")


def refuses(node: BirdNode, one: Any) -> bool:
    own = [] if one["kind"] == "Node" else [{"kind": "Node", "metadata": {"name": "node1", "annotations": ADDRESSES}}]
    return node.refuses([{"spec": {}, **each} for each in (*own, one, PEER)])


@pytest.mark.parametrize(("one", "seen"), REFUSED, ids=lambda one: one if isinstance(one, str) else "")
def test_the_mend_puts_it_right(node: BirdNode, one: Any, seen: str) -> None:
    for groups in ([], ["projectcalico.org/v3"]):
        facts = changed(facts_of(one), "cluster.api.groups", groups)
        if mend := only(facts, "bgp-refused").get("mend"):
            assert not refuses(node, mended(one, mend["text"]))
        else:
            assert any(word in seen for word in ("is no IPv4 range", "interface", "asNumber", "peerIP"))


def mended(one: Any, command: str) -> Any:
    """Return the object as the command leaves it."""
    words = shlex.split(command)
    if words[1] == "annotate":
        return reflector(words[-1].partition("=")[2])
    kind = one["kind"].lower()
    assert words[2:4] == [f"{kind}s.projectcalico.org" if words[0] == "kubectl" else kind, one["metadata"]["name"]]
    patch = json.loads(words[-1])
    spec = json.loads(json.dumps(one["spec"]))
    if isinstance(patch, dict):
        return {**one, "spec": {**spec, **patch["spec"]}}
    for step in patch:
        _, _, key, number, member = step["path"].split("/")
        spec[key][int(number)][member] = step["value"]
    return {**one, "spec": spec}


def test_one_mend_mends_all_of_an_object() -> None:
    wrong = made("BGPFilter", "two", exportV4=[rule("10.1.2.3/16"), {"action": "accept", "cidr": "10.0.0.0/8"}])
    finding = only(facts_of(wrong), "bgp-refused")
    assert finding["seen"].count("item ") == 3
    assert patched(finding)["spec"] == {
        "exportV4": [rule("10.1.0.0/16"), {"action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "In"}]
    }
    nobody_knows = made("BGPFilter", "x", exportV4=[rule("10.1.2.3/16"), rule("fd00::/64")])
    assert "mend" not in only(facts_of(nobody_knows), "bgp-refused")


def test_a_list_that_was_not_read_as_a_whole_is_not_replaced() -> None:
    unread = {"action": "Accept", "communities": {"values": ["1:2"]}}
    wrong = made("BGPFilter", "x", exportV4=[rule("10.1.2.3/16"), unread])
    assert "mend" not in only(facts_of(wrong), "bgp-refused")
    served = changed(facts_of(wrong), "cluster.api.groups", ["projectcalico.org/v3"])
    assert patched(only(served, "bgp-refused")) == [
        {"op": "add", "path": "/spec/exportV4/0/cidr", "value": "10.1.0.0/16"}
    ]


def test_lengths_that_no_prefix_has_are_refused() -> None:
    wrong = made("BGPFilter", "x", exportV4=[rule("10.0.0.0/16", prefixLength={"max": 8})])
    assert "no length is from 16 to 8" in only(facts_of(wrong), "bgp-refused")["seen"]


def test_without_filters_or_reflectors_all_is_well() -> None:
    facts = guide({**CLUSTER, "nodes": [calico_node("node1", 11)]})
    assert not found(facts, "bgp-refused")
