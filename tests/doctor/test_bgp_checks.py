"""BGP's settings, and what the router says: each check on what is wrong, with what mends it."""

from typing import Any

import pytest
import yaml

from cni.doctor import sessions, suggest
from cni.doctor.checks.bgp_nodes import routers
from cni.doctor.facts import FactReader, unknown
from tests.doctor.documents import (
    CLUSTER,
    bgp_peer,
    calico_node,
    changed,
    found,
    guide,
    made,
    only,
    patched,
    workload,
)

MESH = [{"metadata": {"name": "default"}, "spec": {"nodeToNodeMeshEnabled": True}}]
REMOTE = {"action": "Reject", "source": "RemotePeers"}


def cluster(**facts: Any) -> Any:
    return guide({**CLUSTER, **facts})


def test_the_mesh_beside_a_router_is_found_for_each_peer_and_turned_off() -> None:
    v4, v6 = found(cluster(bgp_configurations=MESH), "bgp-mesh-and-router")
    assert (v4["object"], v6["object"]) == ("BGPPeer/my-global-peer", "BGPPeer/my-global-peer-v6")
    assert v4["seen"] == "the mesh is on, so node1, node2 tell it of the other nodes' pods, too"
    assert patched(v4) == {"spec": {"nodeToNodeMeshEnabled": False}}


def test_where_there_is_no_configuration_the_mesh_is_on_and_the_mend_makes_one() -> None:
    first, _ = found(cluster(bgp_configurations=[]), "bgp-mesh-and-router")
    mend = yaml.safe_load(first["mend"]["text"])
    assert (mend["kind"], mend["spec"]) == ("BGPConfiguration", {"nodeToNodeMeshEnabled": False})
    assert found(cluster(bgp_configurations=[mend]), "bgp-mesh-and-router") == []


def test_with_a_filter_that_keeps_what_the_mesh_tells_all_is_well() -> None:
    peers = [bgp_peer("my-global-peer", "172.16.13.1", filters=["own"]), bgp_peer("v6", "fd00:16::1", filters=["own"])]
    filters = [{"metadata": {"name": "own"}, "spec": {"exportV4": [REMOTE], "exportV6": [REMOTE]}}]
    facts = {"bgp_configurations": MESH, "bgp_peers": peers}
    assert found(cluster(**facts, bgp_filters=filters), "bgp-mesh-and-router") == []
    assert len(found(cluster(**facts, bgp_filters=[]), "bgp-mesh-and-router")) == 2


def test_the_mesh_alone_is_no_fault_nor_is_one_node_with_a_router() -> None:
    assert found(cluster(bgp_configurations=MESH, bgp_peers=[]), "bgp-mesh-and-router") == []
    assert found(cluster(bgp_configurations=MESH, nodes=CLUSTER["nodes"][:1]), "bgp-mesh-and-router") == []


def test_a_router_of_the_nodes_own_as_is_to_be_a_reflector() -> None:
    another = bgp_peer("outer", "172.16.13.2")
    peers = [another | {"metadata": {"name": "er"}}, bgp_peer("router", "172.16.13.1", asNumber=64512)]
    finding = only(cluster(bgp_peers=peers), "bgp-as")
    assert finding["object"] == "BGPPeer/router"
    assert finding["seen"].endswith("no node is a route reflector: the router has to be one")
    assert finding["mend"]["text"] == (
        "vtysh -c 'configure terminal' -c 'router bgp 64512' -c 'address-family ipv4 unicast'"
        " -c 'neighbor 172.16.13.11 route-reflector-client' -c 'neighbor 172.16.13.21 route-reflector-client'"
    )
    assert found(cluster(bgp_peers=peers, bgp_configurations=MESH), "bgp-as") == []
    reflector = calico_node("rr", 31)
    reflector["metadata"]["annotations"]["projectcalico.org/RouteReflectorClusterID"] = "1.0.0.1"
    assert found(cluster(bgp_peers=peers, nodes=[*CLUSTER["nodes"], reflector]), "bgp-as") == []


def test_a_peer_like_another_is_yaml_whatever_the_node_is_called_and_has_its_filters() -> None:
    like: Any = bgp_peer("v4", "172.16.13.1", asNumber="1.10", filters=["f"], numAllowedLocalASNumbers=1)
    spec = yaml.safe_load(suggest.bgp_peer("123", 4, like).text)["spec"]
    assert spec == {**like["spec"], "node": "123"}


def test_a_node_that_is_another_nodes_peer_is_no_router() -> None:
    peers = [bgp_peer("rr", "172.16.13.21", asNumber=64512, node="node1")]
    assert found(cluster(bgp_peers=peers), "bgp-as") == []


def without_ipv6(*names: str) -> Any:
    nodes = [calico_node("node1", 11), calico_node("node2", 21)]
    for node in nodes:
        if node["metadata"]["name"] in names:
            del node["metadata"]["annotations"]["projectcalico.org/IPv6Address"]
    return nodes


def with_env(**values: str) -> Any:
    daemon_set = workload("calico-node")
    env = [{"name": name, "value": value} for name, value in values.items()]
    daemon_set["spec"]["template"]["spec"]["containers"][0]["env"] = env
    return [daemon_set]


def test_a_node_without_an_address_of_a_family_in_use_is_found_and_its_log_is_shown() -> None:
    finding = only(cluster(nodes=without_ipv6("node2")), "bgp-node-address")
    assert (finding["object"], finding["seen"]) == (
        "Node/node2", "no projectcalico.org/IPv6Address, and there are IPv6 pools",
    )  # fmt: skip
    assert finding["mend"]["text"] == "kubectl -n kube-system logs calico-node-2 -c calico-node"
    unseen = cluster(nodes=without_ipv6("node2"), calico_pods=unknown("HTTP status 403"))
    assert only(unseen, "bgp-node-address")["mend"]["text"].startswith("kubectl get pods -A")
    v4 = CLUSTER["spider_ip_pools"][:1]
    assert found(cluster(nodes=without_ipv6("node2"), spider_ip_pools=v4), "bgp-node-address") == []


def test_where_no_node_has_found_an_address_all_are_to_look_another_way() -> None:
    nodes = without_ipv6("node1", "node2")
    for env in ({}, {"IP": "autodetect", "IP6": "none"}, {"IP6_AUTODETECTION_METHOD": "first-found"}):
        finding = only(cluster(nodes=nodes, daemon_sets=with_env(**env)), "bgp-node-address")
        assert "IP6=autodetect IP6_AUTODETECTION_METHOD=kubernetes-internal-ip" in finding["mend"]["text"]
    operator = cluster(nodes=nodes, installations=[{"metadata": {"name": "default"}, "spec": {}}])
    method = {"firstFound": None, "kubernetes": "NodeInternalIP"}
    assert patched(only(operator, "bgp-node-address")) == {
        "spec": {"calicoNetwork": {"nodeAddressAutodetectionV6": method}}
    }


@pytest.mark.parametrize("env", [{"IP6_AUTODETECTION_METHOD": "interface=bond0"}, {"IP6": "fd00:16::9"}])
def test_a_way_that_somebody_has_told_is_left_to_them(env: Any) -> None:
    for installations in ([], [{"metadata": {"name": "default"}, "spec": {}}]):
        facts = {"nodes": without_ipv6("node1", "node2"), "installations": installations}
        finding = only(cluster(**facts, daemon_sets=with_env(**env)), "bgp-node-address")
        assert finding["mend"]["text"] == "kubectl -n kube-system logs calico-node-1 -c calico-node"


def test_a_node_that_has_no_calico_node_needs_no_address() -> None:
    windows = {"metadata": {"name": "windows"}}
    assert found(cluster(nodes=[*CLUSTER["nodes"], windows]), "bgp-node-address") == []
    unread: list[Any] = [[], unknown("HTTP status 403")]
    for pods in unread:  # Calico may run without pods of that label
        v4, v6 = found(cluster(nodes=[*CLUSTER["nodes"], windows], calico_pods=pods), "bgp-node-address")
        assert (v4["object"], v6["object"]) == ("Node/windows", "Node/windows")


@pytest.mark.parametrize("text", ["garbage", "172.16.13.11/99", "fd00:16::11/64", "300.1.1.1/24", "172.16.13.11/"])
def test_an_annotation_that_is_no_address_of_its_family_is_none(text: str) -> None:
    nodes = [calico_node("node1", 11), calico_node("node2", 21)]
    nodes[0]["metadata"]["annotations"]["projectcalico.org/IPv4Address"] = text
    assert only(cluster(nodes=nodes), "bgp-node-address")["object"] == "Node/node1"


def test_an_address_of_docker0_or_of_two_nodes_is_found() -> None:
    nodes = [calico_node("node1", 11), calico_node("node2", 21)]
    for node in nodes:
        node["metadata"]["annotations"]["projectcalico.org/IPv4Address"] = "172.17.0.1/16"
        node["status"] = {"addresses": [{"type": "InternalIP", "address": "172.16.13.9"}]}
    findings = [one for one in found(cluster(nodes=nodes), "bgp-node-address") if one["severity"] == "failure"]
    seen = [(one["object"], one["seen"].partition(",")[0]) for one in findings]
    assert seen == [
        ("Node/node1", "Calico takes 172.17.0.1 for its address"),
        ("Node/node2", "Calico takes 172.17.0.1 for its address"),
        ("Node/node1, node2", "all of them have 172.17.0.1 as their projectcalico.org/IPv4Address"),
    ]


def test_a_peer_in_another_network_is_told_and_no_fault() -> None:
    report = made(cluster(bgp_peers=[bgp_peer("far", "10.9.0.1")]), "bgp-node-address")
    assert report["result"] == "ok"
    assert report["findings"][0]["seen"] == (
        "10.9.0.1 is not in the network of node1, node2: a route has to lead to it"
    )


def test_many_nodes_are_one_finding() -> None:
    nodes = [{"metadata": {"name": f"node{number}"}} for number in range(5000)]
    seen = [one["object"] for one in found(cluster(nodes=nodes, calico_pods=[]), "bgp-node-address")]
    assert seen == ["Node/node0, node1, node2 and 4997 more"] * 2


@pytest.mark.parametrize("key", ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"])
def test_services_among_spiderpools_addresses_are_found(key: str) -> None:
    configuration = [{"metadata": {"name": "default"}, "spec": {key: [{"cidr": "10.244.128.0/20"}]}}]
    finding = only(cluster(bgp_configurations=configuration), "bgp-advertises")
    assert finding["seen"] == f"its {key} has 10.244.128.0/20, which overlaps SpiderIPPool/v4"
    elsewhere = [{"metadata": {"name": "default"}, "spec": {key: [{"cidr": "10.96.0.0/12"}]}}]
    assert found(cluster(bgp_configurations=elsewhere), "bgp-advertises") == []


def test_sessions_that_calico_node_tells_of_are_looked_at() -> None:
    peers = [{"peerIP": "172.16.13.1", "state": "Active", "since": "12:00"}]
    status = {"metadata": {"name": "x"}, "spec": {"node": "node2"}, "status": {"bgp": {"peersV6": peers}}}
    finding = only(cluster(calico_node_statuses=[status]), "bgp-sessions")
    assert (finding["object"], finding["seen"]) == (
        "Node/node2", "its session with 172.16.13.1 is Active since 12:00",
    )  # fmt: skip


def test_of_two_sessions_with_one_node_one_is_enough() -> None:
    peers = [{"peerIP": "172.16.13.11", "state": "Established"}, {"peerIP": "172.16.13.11", "state": "Idle"}]
    status = {"metadata": {"name": "x"}, "spec": {"node": "node2"}, "status": {"bgp": {"peersV4": peers}}}
    assert found(cluster(calico_node_statuses=[status]), "bgp-sessions") == []


def test_without_such_objects_it_is_not_checked_and_says_how_to_make_them() -> None:
    report = made(cluster(calico_node_statuses=[]), "bgp-sessions")
    assert report["result"] == "not-checked"
    assert "{apiVersion: crd.projectcalico.org/v1, kind: CalicoNodeStatus," in report.get("because", "")
    served = {"groups": ["projectcalico.org/v3"], "calico": "crd.projectcalico.org/v1"}
    report = made(cluster(calico_node_statuses=[], api=served), "bgp-sessions")
    assert "{apiVersion: projectcalico.org/v3, kind: CalicoNodeStatus," in report.get("because", "")


def endpoint(name: str, node: str, **ips: str) -> Any:
    current = {"uid": name, "node": node, "ips": [{"interface": "eth0", **ips}]}
    return {"metadata": {"name": name, "namespace": "default"}, "status": {"current": current}}


PODS = [endpoint("a", "node1", ipv4="10.244.100.0/16"), endpoint("b", "node2", ipv4="10.244.100.1/16")]
ROUTES = {"10.244.100.0/32": ["172.16.13.11"], "10.244.100.1/32": ["172.16.13.21"], "172.25.0.0/26": ["172.16.13.11"]}


def router(routes: Any = ROUTES, state: str = "Established", peer_state: str = "OK") -> Any:
    neighbor = {"state": state, "peer_state": peer_state, "prefixes_received": 0}
    return {"as_number": 23000, "neighbors": {"172.16.13.11": neighbor}, "routes": routes}


def seen_by(said: Any, **facts: Any) -> Any:
    endpoints = facts.get("spider_endpoints", PODS)
    pods = [{"metadata": {key: one["metadata"][key] for key in ("name", "namespace")}} for one in endpoints]
    return cluster(**{"spider_endpoints": endpoints, "pods": pods, "router": said, **facts})


def test_a_router_that_has_each_pod_by_its_node_is_well() -> None:
    assert found(seen_by(router()), "bgp-router-view") == []
    not_given = changed(seen_by(router()), "cluster.router", unknown("what the router says was not given: --router"))
    assert made(not_given, "bgp-router-view")["result"] == "not-checked"


def test_a_policy_that_keeps_all_out_is_the_only_finding_and_is_mended_in_frr() -> None:
    finding = only(seen_by(router({"172.25.0.0/26": []}, peer_state="Policy")), "bgp-router-view")
    assert finding["object"] == "neighbor 172.16.13.11"
    assert finding["mend"]["text"] == (
        "vtysh -c 'configure terminal' -c 'router bgp 23000' -c 'no bgp ebgp-requires-policy' -c 'do clear bgp * soft'"
    )


def test_a_session_that_is_not_up_is_a_symptom_where_bird_says_why() -> None:
    facts = seen_by(router(state="Active"))
    assert only(facts, "bgp-router-view").get("cause", "") == ""
    facts = changed(facts, "node.bird.protocols.0.state", "Active")
    assert only(facts, "bgp-router-view")["cause"] == "node-bird"


def test_a_session_that_calicos_objects_do_not_give_to_a_node_is_a_symptom_of_that() -> None:
    peers = [bgp_peer("router", "172.16.13.1", nodeSelector="kubernetes.io/hostname == 'node2'")]
    finding = only(seen_by(router(state="Active"), bgp_peers=peers), "bgp-router-view")
    assert finding["cause"] == "bgp-peer-per-node"
    facts = changed(seen_by(router(state="Active"), bgp_peers=peers), "cluster.nodes", unknown("no rights"))
    assert "cause" not in only(facts, "bgp-router-view")


def test_a_router_that_takes_nothing_of_anybody_lacks_all_routes() -> None:
    said = router({})
    assert [one["object"] for one in found(seen_by(said), "bgp-router-view")] == ["10.244.100.0/32", "10.244.100.1/32"]
    said["neighbors"]["172.16.13.11"]["prefixes_received"] = 2  # so the routes were not given
    assert found(seen_by(said), "bgp-router-view") == []


def without(prefix: str) -> Any:
    return {key: hops for key, hops in ROUTES.items() if key != prefix}


def test_a_missing_route_names_its_cause_by_the_verdict() -> None:
    said = router(without("10.244.100.1/32"))
    finding = only(seen_by(said), "bgp-router-view")
    assert finding["seen"] == "the router has no route to it: the address of default/b on node2"
    assert finding.get("cause", "") == ""
    assert only(seen_by(said, ip_pools=[]), "bgp-router-view")["cause"] == "calico-pool-covers"
    block = {"metadata": {"name": "b"}, "spec": {"cidr": "10.244.100.0/26", "node": "node2", "state": "confirmed"}}
    assert only(seen_by(said, block_affinities=[block]), "bgp-router-view")["cause"] == "calico-blocks"


def test_a_record_of_a_pod_that_is_gone_needs_no_route() -> None:
    said = router(without("10.244.100.1/32"))
    assert found(seen_by(said, pods=seen_by(said)["cluster"]["pods"][:1]), "bgp-router-view") == []
    stale = only(seen_by(router(), pods=seen_by(said)["cluster"]["pods"][:1]), "bgp-router-view")
    assert stale["seen"] == "the router has a route to it, and no pod has the address"
    assert only(seen_by(said, pods=unknown("no rights")), "bgp-router-view")["object"] == "10.244.100.1/32"


def test_of_a_family_that_was_not_given_no_route_is_missing() -> None:
    pods = [*PODS, endpoint("c", "node1", ipv6="fd00:244::100/64")]
    assert found(seen_by(router(), spider_endpoints=pods), "bgp-router-view") == []


@pytest.mark.parametrize(("mesh", "cause"), [(CLUSTER["bgp_configurations"], ""), (MESH, "bgp-mesh-and-router")])
def test_a_route_by_another_node_is_found(mesh: Any, cause: str) -> None:
    said = router({**ROUTES, "10.244.100.0/32": ["172.16.13.11", "172.16.13.21"]})
    finding = only(seen_by(said, bgp_configurations=mesh), "bgp-router-view")
    assert finding["seen"] == "the router sends it to node2, and default/a is on node1"
    assert finding.get("cause", "") == cause


def test_a_route_to_no_pod_is_a_warning() -> None:
    finding = only(seen_by(router({**ROUTES, "10.244.100.9/32": ["172.16.13.11"]})), "bgp-router-view")
    assert (finding["object"], finding["severity"]) == ("10.244.100.9/32", "warning")
    assert found(seen_by(router({**ROUTES, "10.9.9.9/32": ["172.16.13.11"]})), "bgp-router-view") == []


def test_of_many_findings_of_a_kind_the_first_ones_are_shown() -> None:
    pods = [endpoint(f"p{number}", "node1", ipv4=f"10.244.101.{number}/16") for number in range(100)]
    findings = found(seen_by(router(), spider_endpoints=[*PODS, *pods]), "bgp-router-view")
    assert (len(findings), findings[-1]["object"]) == (11, "90 more")


def test_all_nodes_and_families_are_looked_at_in_one_go() -> None:

    read = sessions.calico(FactReader(cluster(bgp_configurations=MESH)))
    names = [(node["metadata"]["name"], family, one.object) for node, family, one in routers(read, [4, 6])]
    v4, v6 = "BGPPeer/my-global-peer", "BGPPeer/my-global-peer-v6"
    assert names == [("node1", 4, v4), ("node2", 4, v4), ("node1", 6, v6), ("node2", 6, v6)]
