"""A node's routes and its BIRD: each check on what is wrong, which check names the cause, and what mends it."""

from typing import Any

import pytest

from cni.doctor.facts import unknown
from tests.doctor.documents import (
    CLUSTER,
    bgp_peer,
    bird,
    changed,
    found,
    guide,
    ip_pool,
    made,
    node_pod,
    only,
    patched,
)

PEER = "172.16.13.1"


def node(cluster: dict[str, Any] | None = None, **facts: Any) -> Any:
    made_facts = guide({**CLUSTER, **(cluster or {})})
    for name, value in facts.items():
        made_facts = changed(made_facts, f"node.{name}", value)
    return made_facts


def without_cluster(facts: Any) -> Any:
    for name in facts["cluster"]:
        facts = changed(facts, f"cluster.{name}", unknown("the API was not asked: --node-only"))
    return facts


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ("Error: Bad peer AS", "the router has another AS number"),
        ("Socket: Connection refused", "nothing listens"),
        ("Received: Connection rejected", "does not know this node"),
        ("Error: Hold timer expired", "packets get lost"),
        ("", "the peer does not answer on port 179"),
        ("Something new", "“Something new”"),
    ],
)
def test_a_session_that_is_not_up_is_found_with_what_birds_error_means(error: str, meaning: str) -> None:
    finding = only(node(bird=bird(PEER, state="Active", last_error=error)), "node-bird")
    assert finding["object"] == "Global_172_16_13_1"
    assert finding["seen"].startswith("its session with 172.16.13.1 is Active since 12:00:03")
    assert meaning in finding["seen"]


def test_a_wrong_as_number_is_mended_where_the_router_has_said_its_own() -> None:
    facts = node({"bgp_peers": [bgp_peer("router", PEER, asNumber=23001)]}, bird=bird(PEER, state="Idle"))
    facts = changed(facts, "node.bird.protocols.0.last_error", "Error: Bad peer AS")
    assert patched(only(facts, "node-bird")) == {"spec": {"asNumber": 23000}}
    not_said = changed(facts, "cluster.router", unknown("--router"))
    assert only(not_said, "node-bird")["mend"]["text"].endswith("spiderpool-ipam doctor --only node-bird --router -")


def test_a_bird_that_says_nothing_is_found_if_its_family_is_in_use() -> None:
    peerless = {**bird(PEER), "protocols": []}
    assert only(node(bird=peerless), "node-bird-exports")["cause"] == "bgp-peer-per-node"
    silent = {**bird(PEER), "fault": "there is no bird6.ctl", "protocols": []}
    assert only(node(bird6=silent), "node-bird")["seen"] == "there is no bird6.ctl"
    only_v4 = {"spider_ip_pools": CLUSTER["spider_ip_pools"][:1]}
    assert found(node(only_v4, bird6=silent), "node-bird") == []
    assert found(without_cluster(node(bird6=silent)), "node-bird") == []
    assert only(without_cluster(node(bird=silent)), "node-bird")["seen"] == "there is no bird6.ctl"
    down = bird("fd00:16::1", state="Active")
    assert only(without_cluster(node(bird6=down)), "node-bird")["object"] == "Global_fd00_16__1"


def test_a_bird_that_calico_node_is_told_not_to_run_is_a_symptom_of_that() -> None:
    silent = {**bird(PEER), "fault": "there is no bird.ctl", "protocols": []}
    by_operator = {"metadata": {"name": "default"}, "spec": {"calicoNetwork": {"bgp": "Disabled"}}}
    assert only(node({"installations": [by_operator]}, bird=silent), "node-bird")["cause"] == "calico-backend"
    assert "cause" not in only(node(bird=silent), "node-bird")


def test_a_bgppeer_beside_the_mesh_to_the_same_node_has_no_session_of_its_own() -> None:
    both = bird(PEER)
    mesh = {**both["protocols"][0], "name": "Mesh_172_16_13_12", "neighbor": "172.16.13.12"}
    beside = {**mesh, "name": "Node_172_16_13_12", "state": "Idle"}
    both["protocols"] += [mesh, beside]
    assert made(node(bird=both), "node-bird")["findings"] == []
    mesh["state"] = "Active"
    assert len(made(node(bird=both), "node-bird")["findings"]) == 2


def test_a_bird_without_a_session_is_a_symptom_of_a_missing_peer() -> None:
    assert only(node(bird={**bird(PEER), "protocols": []}), "node-bird")["cause"] == "bgp-peer-per-node"


DENIED = ip_pool("no", "10.244.0.0/16", disableBGPExport=True)
BLOCK = {"metadata": {"name": "b"}, "spec": {"cidr": "10.244.100.0/26", "node": "node1", "state": "confirmed"}}
FILTERED = {
    "bgp_peers": [bgp_peer("router", PEER, filters=["f"])],
    "bgp_filters": [{"metadata": {"name": "f"}, "spec": {"exportV4": [{"action": "Reject"}]}}],
}


@pytest.mark.parametrize(
    ("cluster", "cause"),
    [
        ({"ip_pools": []}, "calico-pool-covers"),
        ({"ip_pools": [*CLUSTER["ip_pools"], DENIED]}, "calico-pool-exports"),
        ({"block_affinities": [BLOCK]}, "calico-blocks"),
        (FILTERED, "bgp-filter"),
        ({"bgp_peers": []}, "bgp-peer-per-node"),
    ],
)
def test_an_address_that_is_not_exported_names_the_check_of_its_cause(cluster: Any, cause: str) -> None:
    finding = only(node(cluster, bird=bird(PEER, "172.25.166.128/26")), "node-bird-exports")
    assert finding["object"] == "10.244.100.0"
    assert finding["seen"].startswith("BIRD does not export it to 172.16.13.1: the address of default/a. ")
    assert finding["cause"] == cause


def test_one_that_would_be_exported_is_not_in_birds_table() -> None:
    finding = only(node(bird=bird(PEER)), "node-bird-exports")
    assert "it is not in BIRD's table" in finding["seen"]
    assert "cause" not in finding
    assert only(without_cluster(node(bird=bird(PEER))), "node-bird-exports")["seen"].endswith("address of default/a")


def test_an_address_that_calico_did_not_make_is_not_looked_for() -> None:
    other = [{"address": "10.244.100.7", "pod": "default/a", "interface": "net1"}]
    assert found(node(local_addresses=other), "node-bird-exports") == []


def test_without_a_session_that_is_up_it_is_a_symptom() -> None:
    assert only(node(bird=bird(PEER, state="Active")), "node-bird-exports")["cause"] == "node-bird"
    peerless = {**bird(PEER), "protocols": []}
    assert only(node(bird=peerless), "node-bird-exports")["cause"] == "bgp-peer-per-node"
    silent = {**bird(PEER), "fault": "BIRD has not answered", "protocols": []}
    assert made(node(bird=silent), "node-bird-exports").get("because") == "BIRD has not answered"


def silent(**protocol: Any) -> Any:
    counters = {"import_updates": [0, 0, 0, 0, 0], "import_withdraws": [0, 0, 0, 0]}
    return bird(PEER, "10.244.100.0/32", **{"counters": counters, **protocol})


OTHERS = [{"metadata": {"name": "b"}, "status": {"current": {"node": "node2"}}}]


def test_a_router_that_has_never_sent_anything_is_told() -> None:
    facts = changed(node({"spider_endpoints": OTHERS}, bird=silent()), "cluster.router", unknown("--router"))
    report = made(facts, "node-router-silent")
    assert (report["result"], report["findings"][0]["severity"]) == ("ok", "information")
    assert report["findings"][0]["seen"] == "172.16.13.1 takes 1 routes, and has never sent one"
    assert only(node({"spider_endpoints": OTHERS}, bird=silent()), "node-router-silent")["cause"] == "bgp-router-view"
    assert found(without_cluster(node(bird=silent())), "node-router-silent")


@pytest.mark.parametrize(
    "protocol",
    [
        {"seconds": 12.0},
        {"exported": []},
        {"name": "Mesh_172_16_13_21"},
        {"state": "Active"},
        {"counters": {"import_updates": [0], "import_withdraws": [2]}},
        {"counters": {"import_updates": [1], "import_withdraws": [0]}},
        {"counters": {}},
    ],
)
def test_one_that_may_have_had_nothing_to_send_is_not(protocol: Any) -> None:
    assert found(node({"spider_endpoints": OTHERS}, bird=silent(**protocol)), "node-router-silent") == []


def test_where_only_this_node_has_pods_a_router_has_nothing_to_send() -> None:
    assert found(node(bird=silent()), "node-router-silent") == []


HOLE = {"prefix": "10.244.100.0/26", "type": "blackhole", "gateways": []}


def test_a_blackhole_among_spiderpools_addresses_is_found_with_what_has_made_it() -> None:
    finding = only(node(routes=[HOLE]), "node-blackhole")
    assert finding["seen"] == "the node drops what is for it (blackhole), and it has addresses of SpiderIPPool/v4"
    assert only(node({"block_affinities": [BLOCK]}, routes=[HOLE]), "node-blackhole")["cause"] == "calico-blocks"
    services = {"metadata": {"name": "default"}, "spec": {"serviceClusterIPs": [{"cidr": "10.244.100.0/26"}]}}
    facts = node({"bgp_configurations": [services]}, routes=[HOLE])
    assert only(facts, "node-blackhole")["cause"] == "bgp-advertises"


def test_without_the_cluster_the_pods_of_this_node_tell_which_addresses_are_spiderpools() -> None:
    assert "addresses of default/a" in only(without_cluster(node(routes=[HOLE])), "node-blackhole")["seen"]
    elsewhere = {**HOLE, "prefix": "172.25.0.0/26"}
    assert found(without_cluster(node(routes=[elsewhere])), "node-blackhole") == []


@pytest.mark.parametrize(
    ("interface", "seen"),
    [
        ({"interface": "", "is_up": False, "proxy_arp": None}, "no host route"),
        ({"interface": "eth0"}, "none of Calico's interfaces"),
        ({"is_up": False}, "is down"),
        ({"proxy_arp": False}, "proxy_arp of cali1 is 0"),
    ],
)
def test_a_pods_interface_that_is_not_as_calico_makes_it_is_found(interface: Any, seen: str) -> None:
    whole = {"address": "10.244.100.0", "interface": "cali1", "is_up": True, "proxy_arp": True, **interface}
    finding = only(node(pod_interfaces=[whole]), "node-cali")
    assert seen in finding["seen"]
    assert finding["mend"]["text"] == "kubectl -n default delete pod a"


ELSEWHERE = [{"prefix": "0.0.0.0/0", "type": "unicast", "gateways": ["172.16.13.254"]}]
ONLY_V4 = {"spider_ip_pools": CLUSTER["spider_ip_pools"][:1]}


def with_as(number: str, node: Any) -> Any:
    annotations = {**node["metadata"]["annotations"], "projectcalico.org/ASNumber": number}
    return {"metadata": {**node["metadata"], "annotations": annotations}}


def test_a_default_route_that_leads_past_the_router_is_found() -> None:
    finding = only(node(ONLY_V4, routes=ELSEWHERE), "node-way-to-others")
    assert finding["seen"] == (
        "its default route leads to 172.16.13.254, which is no BGP peer, and no other route leads to"
        " 10.244.100.0-10.244.200.1"
    )
    assert patched(finding) == {"spec": {"numAllowedLocalASNumbers": 1}}
    peers = [bgp_peer("my-global-peer", PEER, **patched(finding)["spec"])]
    assert found(node({**ONLY_V4, "bgp_peers": peers}, routes=ELSEWHERE), "node-way-to-others") == []


def test_without_a_default_route_it_is_a_symptom_until_the_gateway_has_a_route_of_its_own() -> None:
    dead = node(ONLY_V4, routes=[], route_to_gateway=False)
    assert only(dead, "node-way-to-others")["cause"] == "node-default-route"
    assert "cause" not in only(node(ONLY_V4, routes=[], route_to_gateway=True), "node-way-to-others")


@pytest.mark.parametrize(
    "cluster",
    [
        {"bgp_configurations": []},
        {"bgp_peers": [bgp_peer("reflector", PEER, asNumber=64512)]},
        {"bgp_peers": []},
        {"nodes": CLUSTER["nodes"][:1]},
        {"nodes": [with_as("65001", CLUSTER["nodes"][0]), with_as("65002", CLUSTER["nodes"][1])]},  # an AS for each
    ],
)
def test_with_another_way_or_no_others_nothing_is_wrong(cluster: Any) -> None:
    assert found(node({**ONLY_V4, **cluster}, routes=ELSEWHERE), "node-way-to-others") == []


def test_a_route_to_the_pods_is_a_way() -> None:
    way = {"prefix": "10.244.0.0/16", "type": "unicast", "gateways": ["172.16.13.254"]}
    assert found(node(ONLY_V4, routes=[*ELSEWHERE, way]), "node-way-to-others") == []
    assert only(node(ONLY_V4, routes=[*ELSEWHERE, {**way, "type": "blackhole"}]), "node-way-to-others")


def token(left: float | None) -> Any:
    return {"path": "/etc/cni/net.d/calico-kubeconfig", "seconds_left": left}


def test_a_token_that_has_ended_is_found() -> None:
    finding = only(node(calico_token=token(-600)), "node-calico-token")
    assert finding["seen"] == "its token has ended 10 minutes ago"
    assert finding["mend"]["text"] == "kubectl -n kube-system delete pod calico-node-1"


def test_one_that_ends_soon_is_found_if_nobody_renews_it() -> None:
    gone = {"calico_pods": [node_pod("calico-node-1", "node1", ready=False), node_pod("calico-node-2", "node2")]}
    assert "ends in 10 minutes" in only(node(gone, calico_token=token(600)), "node-calico-token")["seen"]
    assert found(node(calico_token=token(600)), "node-calico-token") == []
    assert found(node(gone, calico_token=token(7200)), "node-calico-token") == []
    assert found(node(gone, calico_token=token(None)), "node-calico-token") == []
    assert found(without_cluster(node(calico_token=token(600))), "node-calico-token") == []
    assert only(without_cluster(node(calico_token=token(-60))), "node-calico-token")
