"""What mends the mesh and missing peers cuts nobody off: on clusters that are right, and differ from the guide."""

import copy
import json
import shlex
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cni.contracts.facts import FACTS
from cni.doctor import run, sessions
from cni.doctor.checks import CHECKS
from cni.doctor.checks.bgp_nodes import routers
from cni.doctor.facts import FactReader, unknown
from cni.doctor.ranges import network
from cni.doctor.verdict import Route, of_route
from tests.doctor.documents import CLUSTER, NODE, bgp_peer, calico_node, found, guide, only, patched

# What no other check may find then. A node that gets its first session may be warned of what comes after that.
MENDED = {"bgp-mesh-and-router": ("failure", "warning"), "bgp-peer-per-node": ("failure",)}
ROUTERS = {4: ("172.16.13.1", "172.16.13.2"), 6: ("fd00:16::1", "fd00:16::2")}
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
POD = {4: "10.244.100.5", 6: "fd00:244::105"}
ELSEWHERE = {4: "172.16.13.254", 6: "fe80::1"}
MESH = [{"metadata": {"name": "default"}, "spec": {"nodeToNodeMeshEnabled": True}}]
OLD = [{"metadata": {"name": "default"}, "spec": {"calicoVersion": "v3.27.0"}}]
KINDS = {"bgppeer": "bgp_peers", "bgpconfiguration": "bgp_configurations", "bgpfilter": "bgp_filters"}


def meshed(**cluster: Any) -> Any:
    return guide({**CLUSTER, "bgp_configurations": MESH, **cluster})


def through(*gateways: str) -> Any:
    return [{"prefix": DEFAULT[6 if ":" in one else 4], "type": "unicast", "gateways": [one]} for one in gateways]


def at(routes: Any, **cluster: Any) -> Any:
    facts: Any = meshed(**cluster)
    facts["node"]["routes"] = routes
    return FACTS.validate_python(facts)


def with_learned(routes: Any) -> Any:
    """Return routes with one to another node's pods, that BIRD has of the mesh."""
    return [*routes, {"prefix": "10.244.100.64/26", "type": "unicast", "gateways": ["172.16.13.21"]}]


def applied(facts: Any, mend: Any) -> Any:
    """Return the document as it is when a mend has been done; what the mesh told a node is gone with it."""
    document: Any = copy.deepcopy(facts)
    for text in mend["text"].split(" && "):
        if text.startswith("calicoctl patch "):
            _, _, kind, name, _, change = shlex.split(text)
            named = [one for one in document["cluster"][KINDS[kind]] if one["metadata"]["name"] == name]
            named[0]["spec"] = {**named[0].get("spec", {}), **json.loads(change)["spec"]}
        else:
            made = yaml.safe_load(shlex.split(text)[1] if text.startswith("echo ") else text)
            objects = document["cluster"][KINDS[made["kind"].lower()]]
            objects[:] = [*(one for one in objects if one["metadata"]["name"] != made["metadata"]["name"]), made]
    document = FACTS.validate_python(document)
    if not sessions.calico(FactReader(document)).has_mesh and isinstance(document["node"]["routes"], list):
        document["node"]["routes"] = [one for one in document["node"]["routes"] if one["prefix"] in DEFAULT.values()]
    return document


def failed(facts: Any, severities: Sequence[str]) -> set[tuple[str, str]]:
    report = run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0")
    all_found = [(one["id"], finding) for one in report["checks"] for finding in one["findings"]]
    return {(name, finding["object"]) for name, finding in all_found if finding["severity"] in severities}


def heard(facts: Any) -> set[tuple[str, str]]:
    """Return which routers hear of which nodes' pods, from the nodes themselves or from others by the mesh."""
    calico = sessions.calico(FactReader(facts))
    told = set()
    for node, family, session in routers(calico, [4, 6]):
        for one in calico.nodes:
            is_own = one is node
            if is_own or (calico.has_mesh and sessions.address(one, family)):
                interface = "cali0123456789a" if is_own else "eth0"
                route = Route(network(POD[family]), interface, is_remote=not is_own)
                if of_route(calico, node["metadata"]["name"], session, route).is_exported:
                    told.add((session.address, one["metadata"]["name"]))
    return told


def test_the_mesh_stays_where_a_node_has_no_other_way_to_the_router() -> None:
    peers = [bgp_peer("r", "172.16.13.1", node="node1"), bgp_peer("v6", "fd00:16::1")]
    first, second = found(meshed(bgp_peers=peers), "bgp-mesh-and-router")
    assert "mend" not in first
    assert first["seen"] == (
        "the mesh is on, so node1 tells it of the other nodes' pods, too; node2 has no session with it"
    )
    assert "RemotePeers" in second["mend"]["text"]  # IPv4 needs the mesh


@pytest.mark.parametrize("routes", [through(*ELSEWHERE.values()), through("172.16.13.1", "fe80::1"), []])
def test_the_mesh_stays_where_the_default_route_leads_elsewhere_and_a_filter_keeps_it_from_the_router(
    routes: Any,
) -> None:
    facts = at(with_learned(routes))
    for _ in range(2):
        first, *_ = found(facts, "bgp-mesh-and-router")
        assert "nodeToNodeMeshEnabled" not in first["mend"]["text"]
        facts = applied(facts, first["mend"])
    assert found(facts, "bgp-mesh-and-router") == []
    assert facts["cluster"]["bgp_peers"][0]["spec"]["filters"] == ["spiderpool-own-routes-only"]


def test_where_calico_knows_no_source_of_routes_no_filter_is_made() -> None:
    for informations in (OLD, []):
        facts = at(through(*ELSEWHERE.values()), cluster_informations=informations)
        assert not [one for one in found(facts, "bgp-mesh-and-router") if "mend" in one]


def test_the_mesh_may_be_turned_off_where_all_lead_to_the_router_or_nothing_else_is_known() -> None:
    for routes in (NODE["routes"], unknown("no rights")):
        assert patched(found(at(routes), "bgp-mesh-and-router")[0]) == {"spec": {"nodeToNodeMeshEnabled": False}}


def test_a_filter_comes_before_those_that_a_peer_has() -> None:
    peers = [bgp_peer("r", "172.16.13.1", filters=["f"])]
    v4 = {"spider_ip_pools": CLUSTER["spider_ip_pools"][:1]}
    facts = at(through("172.16.13.254"), bgp_peers=peers, **v4)
    finding = only(facts, "bgp-mesh-and-router")
    assert applied(facts, finding["mend"])["cluster"]["bgp_peers"][0]["spec"]["filters"] == [
        "spiderpool-own-routes-only",
        "f",
    ]


@st.composite
def clusters(draw: st.DrawFn) -> Any:
    """Draw a cluster of some racks, with routers for all, for racks or for nodes, and with or without the mesh."""
    nodes = [calico_node(f"node{number}", 10 + number) for number in range(1, draw(st.integers(2, 4)) + 1)]
    for node in nodes:
        node["metadata"]["labels"]["rack"] = draw(st.sampled_from(["a", "a", "b", "c"]))
        if draw(st.integers(0, 5)) == 0:
            del node["metadata"]["annotations"]["projectcalico.org/IPv6Address"]
    peers = []
    for number in range(draw(st.integers(0, 4))):
        address = draw(st.sampled_from([*ROUTERS[4], *ROUTERS[4], *ROUTERS[6]]))
        scope = draw(
            st.sampled_from([{}, {}, {"nodeSelector": "rack == 'a'"}, {"nodeSelector": "has(x)"}, {"node": "node1"}])
        )
        number_of_as = draw(st.sampled_from([23000, 23000, 23000, 64512]))
        peers.append(bgp_peer(f"peer{number}", address, asNumber=number_of_as, **scope))
    gateways = [draw(st.sampled_from([*ROUTERS[f], ROUTERS[f][0], ELSEWHERE[f], ""])) for f in (4, 6)]
    routes = draw(st.sampled_from([with_learned(through(*filter(None, gateways))), unknown("no rights")]))
    has_mesh = draw(st.sampled_from([True, True, False]))
    configurations = [{"metadata": {"name": "default"}, "spec": {"nodeToNodeMeshEnabled": has_mesh}}]
    informations = draw(st.sampled_from([CLUSTER["cluster_informations"], OLD]))
    return at(
        routes,
        nodes=nodes,
        bgp_peers=peers,
        cluster_informations=informations,
        bgp_configurations=[] if has_mesh and draw(st.booleans()) else configurations,
        spider_ip_pools=CLUSTER["spider_ip_pools"][: draw(st.integers(1, 2))],
    )


@settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(clusters())
def test_no_mend_makes_another_check_fail_or_takes_a_node_from_a_router(facts: Any) -> None:
    for check_id, severities in MENDED.items():
        before = failed(facts, severities)
        for finding in found(facts, check_id):
            if "mend" in finding:
                mended = applied(facts, finding["mend"])
                assert failed(mended, severities) <= before, finding
                assert finding not in found(mended, check_id)
                assert heard(facts) <= heard(mended), finding
