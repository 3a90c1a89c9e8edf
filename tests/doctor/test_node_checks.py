"""Each check of a node: silent on the guide's, and what it finds on one that is not so."""

from typing import Any

import pytest

from cni.doctor.checks import CHECKS
from cni.doctor.facts import unknown
from tests.doctor.documents import CLUSTER, changed, guide, made, only, spider_pool

NODE_CHECKS = [check for check in CHECKS if check.part == "node"]


@pytest.mark.parametrize("check_id", [check.id for check in NODE_CHECKS])
def test_it_is_silent_where_all_is_well(check_id: str) -> None:
    found = made(guide(CLUSTER), check_id)
    assert (found["result"], found["findings"]) == ("ok", [])


@pytest.mark.parametrize("check", NODE_CHECKS, ids=lambda check: check.id)
def test_it_is_not_made_where_its_facts_are_not_known(check: Any) -> None:
    facts = guide()
    for name in check.needs:
        facts = changed(facts, name, unknown("no rights"))
    assert made(facts, check.id)["result"] == "not-checked"


BAD = [
    ("node-installed", "installation", None, "failure", "nothing is installed here"),
    ("node-installed", "record_fault", "/etc/cni/net.d/.spiderpool-ipam.swap is damaged", "failure", "is damaged"),
    ("node-installed", "installation.state", "restored", "failure", "uninstall has restored"),
    ("node-bundle", "plugin.bundle_fault", "is damaged: libc.so.6 is missing", "failure", "libc.so.6 is missing"),
    ("node-plugin-answers", "plugin.answer_fault", "no answer within 2 s", "failure", "no answer within 2 s"),
    ("node-conflist", "conflist.drift", "ipam.type is calico-ipam", "failure", "ipam.type is calico-ipam"),
    ("node-conflist", "conflist.fault", "no plugin of type calico", "failure", "no plugin of type calico"),
    ("node-conflist", "conflist.loaded_before", "/etc/cni/net.d/05-x.conf", "failure", "05-x.conf"),
    ("node-conflist", "conflist.files.0.fault", "not JSON at line 1", "warning", "not JSON at line 1"),
    ("node-chain-binaries", "chain.0.state", "missing", "failure", "there is no such file"),
    ("node-chain-binaries", "chain.0.state", "not executable", "failure", "it is not executable"),
    ("node-agent", "agent.fault", "[Errno 111] Connection refused", "failure", "Connection refused"),
    ("node-agent", "agent.seconds", 1.7, "warning", "after 1.7 s"),
    ("node-calico-nodename", "calico_nodename", None, "failure", "it is missing"),
    ("node-default-route", "route_to_gateway", False, "failure", "no IPv4 default route"),
    ("node-forwarding", "forwarding.ipv4", False, "failure", "it is 0"),
]


@pytest.mark.parametrize(("check_id", "name", "value", "result", "seen"), BAD)
def test_it_finds_what_is_wrong(check_id: str, name: str, value: Any, result: str, seen: str) -> None:
    found = made(changed(guide(), f"node.{name}", value), check_id)
    assert found["result"] == result
    assert seen in found["findings"][0]["seen"]


@pytest.mark.parametrize(
    ("first", "name"),
    [("10-other.conf", "05-spiderpool-calico.conflist"), ("05-a.conf", "00-spiderpool-calico.conflist"), ("00-a", "")],
)
def test_a_copy_sorts_before_the_file_that_runtimes_load(first: str, name: str) -> None:
    finding = only(changed(guide(), "node.conflist.loaded_before", f"/etc/cni/net.d/{first}"), "node-conflist")
    assert finding.get("mend", {}).get("text") == (f"spiderpool-ipam install --as {name}" if name else None)


@pytest.mark.parametrize("drift", ["overwritten", "removed", "replaced"])
def test_another_program_in_the_plugins_place_is_a_failure_unless_watch_repairs_it(drift: str) -> None:
    facts = changed(guide(), "node.plugin.drift", drift)
    assert made(facts, "node-plugin-ours")["result"] == "warning"
    facts = changed(facts, "node.plugin.watch_runs", False)
    (finding,) = made(facts, "node-plugin-ours")["findings"]
    assert finding["severity"] == "failure"
    assert finding.get("mend") == {"kind": "command", "text": "spiderpool-ipam install"}


def test_a_release_into_which_another_program_was_written_is_a_symptom_of_that() -> None:
    facts = changed(guide(), "node.plugin.bundle_fault", "is damaged: spiderpool does not hold what SHA256SUMS says")
    assert "cause" not in only(facts, "node-bundle")
    assert only(changed(facts, "node.plugin.drift", "overwritten"), "node-bundle")["cause"] == "node-plugin-ours"


def test_an_agent_that_does_not_answer_starts_anew_when_its_pod_is_deleted() -> None:
    labels = {"app.kubernetes.io/component": "spiderpool-agent"}
    metadata = {"name": "spiderpool-agent-x7k2p", "namespace": "kube-system", "labels": labels}
    pods = [{"metadata": {**metadata, "name": "other"}, "spec": {"nodeName": "node2"}}]
    facts = changed(guide({"agent_pods": pods}), "node.agent.fault", "Connection refused")
    assert only(facts, "node-agent")["mend"]["text"].startswith("kubectl get pods -A -o wide")
    facts = changed(facts, "cluster.agent_pods", [*pods, {"metadata": metadata, "spec": {"nodeName": "node1"}}])
    assert only(facts, "node-agent")["mend"]["text"] == "kubectl -n kube-system delete pod spiderpool-agent-x7k2p"


def test_the_default_route_that_is_missing_leads_to_a_router_of_the_nodes_network() -> None:
    connected = {"prefix": "172.16.13.0/24", "type": "unicast", "gateways": []}
    facts = changed(changed(guide(CLUSTER), "node.route_to_gateway", False), "node.routes", [connected])
    finding = only(facts, "node-default-route")
    assert finding["mend"]["text"] == "ip route add default via 172.16.13.1"
    for name, value in (
        ("node.bird.protocols.0.neighbor", "172.16.14.1"),  # in another network
        ("node.bird.protocols.0.neighbor", "172.16.13.21"),  # node2
        ("node.bird", unknown("no rights")),
        ("cluster.nodes", unknown("no rights")),
    ):
        finding = only(changed(facts, name, value), "node-default-route")
        assert finding["mend"]["text"] == "ip route add 169.254.1.1 dev UPLINK"


def test_calicos_plugin_may_be_told_the_nodes_name_by_its_configuration() -> None:
    facts = changed(guide(), "node.calico_nodename", None)
    command = made(facts, "node-calico-nodename")["findings"][0]["mend"]["text"]
    assert command == "kubectl get pods -A -o wide -l k8s-app=calico-node"  # in whichever namespace that is
    assert made(changed(facts, "node.conflist.nodename_is_optional", True), "node-calico-nodename")["result"] == "ok"


def test_a_node_that_the_cluster_does_not_have_is_found_where_the_cluster_is_known() -> None:
    nodes = [{"metadata": {"name": "node2"}}]
    found = made(guide({"nodes": nodes}), "node-calico-nodename")
    assert found["findings"][0]["seen"] == "it says node1, and the cluster has no node of that name"
    assert made(guide({"nodes": [{"metadata": {"name": "node1"}}]}), "node-calico-nodename")["result"] == "ok"


@pytest.mark.parametrize(
    ("check_id", "subnet", "value", "result"),
    [
        ("node-forwarding", "10.244.0.0/16", {"ipv4": True, "ipv6": False}, "ok"),
        ("node-forwarding", "fd00:244::/64", {"ipv4": True, "ipv6": False}, "failure"),
        ("node-forwarding", "fd00:244::/64", {"ipv4": False, "ipv6": True}, "ok"),
        ("node-default-route", "fd00:244::/64", False, "ok"),
        ("node-default-route", "10.244.0.0/16", False, "failure"),
    ],
)
def test_a_family_is_looked_at_where_there_are_pools_of_it(check_id: str, subnet: str, value: Any, result: str) -> None:
    name = {"node-forwarding": "node.forwarding", "node-default-route": "node.route_to_gateway"}[check_id]
    facts = changed(guide({"spider_ip_pools": [spider_pool("p", subnet, subnet)]}), name, value)
    assert made(facts, check_id)["result"] == result
