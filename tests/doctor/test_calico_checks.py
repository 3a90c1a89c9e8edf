"""Each check of Calico: silent on the guide's objects, and what it finds on others, with the mend."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cni.doctor import run, suggest
from cni.doctor.checks import CHECKS
from cni.doctor.facts import FactReader, unknown
from tests.doctor.documents import CLUSTER, bgp_peer, changed, guide, ip_pool, made

CALICO_CHECKS = [check for check in CHECKS if check.part == "calico"]
SERVED = {"groups": ["projectcalico.org/v3"], "calico": "projectcalico.org/v3"}
_CONTROLLERS = "calico-kube-controllers"
# Facts of which the objects need no more than a name.
NAMED = (
    "namespaces", "spider_endpoints", "spider_reserved_ips", "spider_subnets", "spider_coordinators", "spider_configs",
    "service_cidrs", "networks", "stateful_sets", "agent_pods", "own_pods", "controller_endpoints",
)  # fmt: skip
SPIDER = [1]  # the place of the pool that covers SpiderPool's subnet


def cluster(**facts: Any) -> Any:
    return guide({**CLUSTER, **facts})


def found(facts: Any, check_id: str) -> list[Any]:
    return list(made(facts, check_id)["findings"])


@pytest.mark.parametrize("check", CALICO_CHECKS, ids=lambda check: check.id)
def test_it_is_silent_on_the_guides_objects(check: Any) -> None:
    report = made(cluster(), check.id)
    findings = [one for one in report["findings"] if one["severity"] != "information"]
    assert (report["result"], findings) == ("ok", [])


@pytest.mark.parametrize("check", CALICO_CHECKS, ids=lambda check: check.id)
def test_it_is_not_made_where_its_facts_are_not_known(check: Any) -> None:
    for name in check.needs:
        report = made(changed(cluster(), name, unknown("HTTP status 403")), check.id)
        assert (report["result"], report.get("because")) == ("not-checked", "HTTP status 403")


def pools(*others: Any, without: str = "spiderpool-ippool") -> list[Any]:
    return [pool for pool in CLUSTER["ip_pools"] if pool["metadata"]["name"] != without] + list(others)


def test_a_range_in_no_pool_is_found_and_the_pool_that_mends_it_is_told() -> None:
    (finding,) = found(cluster(ip_pools=pools()), "calico-pool-covers")
    assert finding["object"] == "SpiderIPPool/v4"
    assert finding["seen"] == "its range 10.244.100.0-10.244.200.1 is in no IPPool"
    assert finding["mend"]["kind"] == "manifest"
    made_pool = yaml.safe_load(finding["mend"]["text"])
    assert made_pool["spec"] == {
        "cidr": "10.244.0.0/16",
        "blockSize": 26,
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "natOutgoing": False,
        "disabled": True,
    }
    assert found(cluster(ip_pools=[*pools(), made_pool]), "calico-pool-covers") == []


def test_of_a_range_that_is_covered_in_part_the_rest_is_told_and_the_narrow_pool_is_replaced() -> None:
    narrow = ip_pool("narrow", "10.244.104.0/22")
    (finding,) = found(cluster(ip_pools=pools(narrow)), "calico-pool-covers")
    rest = "10.244.100.0-10.244.103.255, 10.244.108.0-10.244.200.1"
    assert finding["seen"].startswith(f"{rest} of its range 10.244.100.0-10.244.200.1 is in no IPPool; ")
    assert finding["seen"].endswith("the routes to all pods in IPPool narrow are gone while the mend replaces it")
    text = finding["mend"]["text"]
    assert text.startswith(
        "calicoctl get ippool narrow --export -o yaml >ippools-before.yaml && { { calicoctl delete ippool narrow"
        " && calicoctl apply -f - <<'END'\napiVersion"
    )
    assert text.endswith("\nEND\n} || { calicoctl apply -f ippools-before.yaml; false; }; }")


@pytest.mark.parametrize(
    ("failing", "left"), [("nothing", "new"), ("get", "old"), ("delete*two", "old"), (r"apply\ -f\ -", "old")]
)
@pytest.mark.parametrize("api", [SERVED, CLUSTER["api"]])
def test_if_a_step_of_a_replacement_fails_there_is_what_was_there(
    api: Any, failing: str, left: str, tmp_path: Path
) -> None:
    narrow = [ip_pool("one", "10.244.104.0/22"), ip_pool("two", "10.244.108.0/22")]
    (finding,) = found(cluster(ip_pools=pools(*narrow), api=api), "calico-pool-covers")
    # The file says which pools there are.
    fake = f"""
        run() {{ case "$*" in *{failing}*) return 1 ;; *get*) echo old ;; *delete*) echo none >there ;;
            *"apply -f -") echo new >there ;; *apply*) cp "${{@: -1}}" there ;; esac }}
        calicoctl() {{ run "$@"; }}; kubectl() {{ run "$@"; }}; echo old >there
    """
    line = f"{fake}\n{finding['mend']['text']}"
    ended = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert ((tmp_path / "there").read_text(), ended.returncode) == (f"{left}\n", int(left == "old")), ended


def installation(*cidrs: str) -> list[Any]:
    pools_of = [{"cidr": cidr} for cidr in cidrs]
    return [{"metadata": {"name": "default"}, "spec": {"calicoNetwork": {"ipPools": pools_of}}}]


def test_a_pool_that_the_operator_holds_is_not_replaced_behind_its_back() -> None:
    narrow = pools(ip_pool("narrow", "10.244.104.0/22"))
    for told in (installation("10.244.104.0/22"), unknown("HTTP status 403")):
        (finding,) = found(cluster(ip_pools=narrow, installations=told), "calico-pool-covers")
        assert "mend" not in finding
    (finding,) = found(cluster(ip_pools=narrow, installations=installation("172.25.0.0/16")), "calico-pool-covers")
    assert "mend" in finding


def test_a_pool_that_forbids_the_export_is_changed_where_the_operator_holds_it() -> None:
    no = pools(ip_pool("spiderpool-ippool", "10.244.0.0/16", disableBGPExport=True))
    told = installation("172.25.0.0/16", "10.244.0.0/16")
    (finding,) = found(cluster(ip_pools=no, installations=told), "calico-pool-exports")
    *words, patch = shlex.split(finding["mend"]["text"])
    assert words == ["kubectl", "patch", "installations.operator.tigera.io", "default", "--type=json", "-p"]
    assert json.loads(patch) == [
        {"op": "add", "path": "/spec/calicoNetwork/ipPools/1/disableBGPExport", "value": False}
    ]


def test_a_pool_that_calico_takes_addresses_from_is_not_replaced() -> None:
    narrow = ip_pool("narrow", "10.244.104.0/22")
    block = {"metadata": {"name": "b"}, "spec": {"cidr": "10.244.104.0/26", "node": "node1"}}
    (finding,) = found(cluster(ip_pools=pools(narrow), block_affinities=[block]), "calico-pool-covers")
    assert "mend" not in finding
    facts = cluster(ip_pools=pools(narrow), block_affinities=unknown("HTTP status 403"))
    assert "mend" not in found(facts, "calico-pool-covers")[0]


@pytest.mark.parametrize("spec", [{"disabled": True}, {"nodeSelector": "has(none)"}, {"allowedUses": ["Tunnel"]}])
def test_what_does_not_decide_the_export_is_not_found(spec: Any) -> None:
    facts = cluster(ip_pools=pools(ip_pool("spiderpool-ippool", "10.244.0.0/16", **spec)))
    assert found(facts, "calico-pool-covers") == found(facts, "calico-pool-exports") == []


def test_a_pool_that_forbids_the_export_is_found_also_beside_one_that_allows_it() -> None:
    no = ip_pool("overlapping", "10.244.100.0/24", disableBGPExport=True)
    (finding,) = found(cluster(ip_pools=[*CLUSTER["ip_pools"], no]), "calico-pool-exports")
    assert finding["object"] == "IPPool/overlapping"
    assert finding["mend"]["text"] == 'calicoctl patch ippool overlapping -p \'{"spec": {"disableBGPExport": false}}\''
    elsewhere = ip_pool("elsewhere", "10.245.0.0/16", disableBGPExport=True)
    assert found(cluster(ip_pools=[*CLUSTER["ip_pools"], elsewhere]), "calico-pool-exports") == []


def test_where_the_api_server_serves_calicos_objects_kubectl_mends_them() -> None:
    no = ip_pool("overlapping", "10.244.100.0/24", disableBGPExport=True)
    (finding,) = found(cluster(ip_pools=[*CLUSTER["ip_pools"], no], api=SERVED), "calico-pool-exports")
    assert finding["mend"]["text"].startswith("kubectl patch ippools.projectcalico.org overlapping --type=merge -p ")
    (finding,) = found(cluster(ip_pools=pools(ip_pool("narrow", "10.244.104.0/22")), api=SERVED), "calico-pool-covers")
    assert finding["mend"]["text"].startswith("kubectl get ippools.projectcalico.org narrow -o yaml >ippools-before")


REJECT = {"action": "Reject", "cidr": "10.244.150.0/24", "matchOperator": "In"}


def filtered(*rules: Any, key: str = "exportV4") -> Any:
    peers = [bgp_peer("my-global-peer", "172.16.13.1", filters=["f"]), CLUSTER["bgp_peers"][1]]
    return cluster(bgp_peers=peers, bgp_filters=[{"metadata": {"name": "f"}, "spec": {key: list(rules)}}])


def test_a_filter_that_takes_some_addresses_is_found_and_its_mend_mends_it() -> None:
    (finding,) = found(filtered(REJECT), "bgp-filter")
    assert finding["object"] == "BGPFilter/f"
    assert finding["seen"] == (
        "rule 1 of its exportV4 rejects 10.244.150.0 of SpiderIPPool/v4, for BGPPeer/my-global-peer"
    )
    *command, patch = shlex.split(finding["mend"]["text"])
    assert command == ["calicoctl", "patch", "bgpfilter", "f", "-p"]
    assert found(filtered(*json.loads(patch)["spec"]["exportV4"]), "bgp-filter") == []


@pytest.mark.parametrize(
    "rule",
    [
        {**REJECT, "cidr": "10.250.0.0/16"},
        {**REJECT, "source": "RemotePeers"},
        {**REJECT, "action": "Accept"},
        {**REJECT, "cidr": "10.244.0.0/16", "matchOperator": "NotIn"},
    ],
)
def test_a_rule_that_takes_none_is_not_found(rule: Any) -> None:
    assert found(filtered(rule), "bgp-filter") == []


def test_a_filter_is_looked_at_for_the_peers_that_it_has() -> None:
    facts = filtered({**REJECT, "peerType": "iBGP"})
    assert found(facts, "bgp-filter") == []
    internal = changed(facts, "cluster.bgp_peers.0.spec.asNumber", 64512)
    assert found(internal, "bgp-filter")[0]["seen"].endswith("for BGPPeer/my-global-peer")
    only_v6 = [CLUSTER["bgp_peers"][0], bgp_peer("v6", "fd00:16::1", filters=["f"])]
    assert found(changed(filtered(REJECT), "cluster.bgp_peers", only_v6), "bgp-filter") == []


def test_a_filter_that_no_peer_names_is_not_found_nor_needed() -> None:
    facts = cluster(bgp_filters=[{"metadata": {"name": "f"}, "spec": {"exportV4": [REJECT]}}])
    assert found(facts, "bgp-filter") == []
    assert made(changed(facts, "cluster.bgp_filters", unknown("HTTP status 404")), "bgp-filter")["result"] == "ok"
    named = changed(filtered(REJECT), "cluster.bgp_filters", unknown("HTTP status 403"))
    assert made(named, "bgp-filter")["result"] == "not-checked"


def test_a_node_that_no_peer_selects_is_found_for_each_family() -> None:
    peers = [
        bgp_peer("v4", "172.16.13.1", nodeSelector="kubernetes.io/hostname == 'node2'"),
        bgp_peer("v6", "fd00:16::1", node="node2"),
    ]
    first, second = found(cluster(bgp_peers=peers), "bgp-peer-per-node")
    assert (first["object"], second["object"]) == ("Node/node1", "Node/node1")
    assert first["mend"]["text"] == 'calicoctl patch bgppeer v4 -p \'{"spec": {"nodeSelector": "all()"}}\''
    mend = yaml.safe_load(second["mend"]["text"])
    assert mend["spec"] == {"node": "node1", "peerIP": "fd00:16::1", "asNumber": 23000}
    mended = cluster(bgp_peers=[bgp_peer("v4", "172.16.13.1", nodeSelector="all()"), peers[1], mend])
    assert found(mended, "bgp-peer-per-node") == []


def rack(name: str, host: int, **spec: Any) -> Any:
    return bgp_peer(f"tor-{name}", f"172.16.{host}.1", **{"nodeSelector": f"rack == '{name}'", **spec})


def test_of_the_routers_of_several_racks_none_is_given_to_a_node_of_no_rack() -> None:
    peers = [rack("a", 13), rack("b", 14), bgp_peer("v6", "fd00:16::1")]
    for finding in found(cluster(bgp_peers=peers), "bgp-peer-per-node"):
        assert "mend" not in finding
        assert finding["seen"] == (
            "no BGPPeer selects it for IPv4, and the mesh is off; BGPPeer/tor-a selects rack == 'a', BGPPeer/tor-b"
            " selects rack == 'b'"
        )
    peers = [bgp_peer(f"p{number}", f"172.16.{number}.1", node=f"n{number}") for number in range(5)]
    seen = found(cluster(bgp_peers=peers), "bgp-peer-per-node")[0]["seen"]
    assert seen.endswith("; BGPPeer/p0 selects the node n0, BGPPeer/p1 selects the node n1, BGPPeer/p2 selects the node"
                         " n2 and 2 more")  # fmt: skip


def test_one_router_that_several_peers_give_is_given_to_the_node_alone() -> None:
    peers = [rack("a", 13), rack("b", 13), bgp_peer("v6", "fd00:16::1")]
    for name, finding in zip(("node1", "node2"), found(cluster(bgp_peers=peers), "bgp-peer-per-node"), strict=True):
        spec = {"node": name, "peerIP": "172.16.13.1", "asNumber": 23000}
        assert yaml.safe_load(finding["mend"]["text"])["spec"] == spec


def test_a_node_is_not_made_its_own_peer_nor_that_of_nodes_that_are_chosen_by_labels() -> None:
    first, second = CLUSTER["nodes"]
    v6 = bgp_peer("v6", "fd00:16::1")
    own = cluster(bgp_peers=[bgp_peer("self", "172.16.13.11"), v6], nodes=[first])
    reflectors = {"metadata": {"name": "rr"}, "spec": {"nodeSelector": "has(x)", "peerSelector": "has(rr)"}}
    for facts in (own, cluster(bgp_peers=[reflectors, v6], nodes=[first, second])):
        assert not [one for one in found(facts, "bgp-peer-per-node") if "mend" in one]


def test_with_the_mesh_or_without_ipv6_pools_no_peer_is_missing() -> None:
    assert found(cluster(bgp_peers=[], bgp_configurations=[]), "bgp-peer-per-node") == []
    only_v4 = cluster(bgp_peers=CLUSTER["bgp_peers"][:1], spider_ip_pools=CLUSTER["spider_ip_pools"][:1])
    assert found(only_v4, "bgp-peer-per-node") == []


def affinity(cidr: str = "10.244.100.0/26", **spec: Any) -> Any:
    return {"metadata": {"name": "node2-block"}, "spec": {"cidr": cidr, "node": "node2", "state": "confirmed", **spec}}


def block(*pods: str) -> Any:
    attributes = [{"handle_id": "x", "secondary": {"namespace": "default", "pod": pod}} for pod in pods]
    allocations = [*range(len(pods)), None]
    name = {"name": "10-244-100-0-26"}
    return {"metadata": name, "spec": {"cidr": "10.244.100.0/26", "allocations": allocations, "attributes": attributes}}


def test_a_block_among_spiderpools_addresses_is_found_with_those_who_hold_addresses_of_it() -> None:
    (finding,) = found(cluster(block_affinities=[affinity()], ip_blocks=[block("a", "b")]), "calico-blocks")
    assert finding["object"] == "BlockAffinity/node2-block"
    assert finding["seen"] == (
        "node2 has the block 10.244.100.0/26, which overlaps SpiderIPPool/v4; its addresses are held by default/a,"
        " default/b"
    )
    assert finding["mend"]["text"] == "kubectl -n default delete pod a && kubectl -n default delete pod b"


def test_an_empty_block_may_be_deleted_if_it_is_known_to_be_empty() -> None:
    (finding,) = found(cluster(block_affinities=[affinity()], ip_blocks=[block()]), "calico-blocks")
    assert finding["mend"]["text"] == (
        "kubectl delete blockaffinities.crd.projectcalico.org node2-block"
        " && kubectl delete ipamblocks.crd.projectcalico.org 10-244-100-0-26"
    )
    (finding,) = found(cluster(block_affinities=[affinity()], ip_blocks=[block()], api=SERVED), "calico-blocks")
    assert finding["mend"]["text"] == (
        "kubectl delete blockaffinities.projectcalico.org node2-block"
        " && kubectl delete ipamblocks.projectcalico.org 10-244-100-0-26"
    )
    for unread in ({"ip_blocks": unknown("HTTP status 404")}, {"api": unknown("HTTP status 403")}):
        (finding,) = found(cluster(**{"block_affinities": [affinity()], **unread}), "calico-blocks")
        assert "mend" not in finding


def test_a_tunnels_address_in_a_block_is_not_a_pods_to_delete() -> None:
    held = block("a")
    held["spec"]["attributes"][0]["secondary"] = {"type": "vxlanTunnelAddress", "node": "node2"}
    (finding,) = found(cluster(block_affinities=[affinity()], ip_blocks=[held]), "calico-blocks")
    assert "vxlanTunnelAddress" in finding["seen"]
    assert "mend" not in finding


def test_a_block_that_is_being_deleted_or_lies_elsewhere_is_not_found() -> None:
    blocks = [affinity(deleted="true"), affinity("172.25.0.0/26")]
    assert found(cluster(block_affinities=blocks), "calico-blocks") == []


def test_the_stream_has_each_manifest_once_with_its_id_and_the_program() -> None:
    facts = cluster(ip_pools=[])
    report = run.report(CHECKS, facts, run.chosen(CHECKS, ["calico-pool-covers"], [], pre=False), "1.0.0")
    text = "\n".join(suggest.stream(report, suggest.tool(FactReader(facts))))
    assert text.count("# calico-pool-covers: calicoctl apply -f -") == 2
    assert [one["spec"]["cidr"] for one in yaml.safe_load_all(text)] == ["10.244.0.0/16", "fd00:244::/64"]


def test_objects_with_nothing_but_what_they_must_have_break_no_check() -> None:
    name = {"metadata": {"name": "x"}}
    cidr = {**name, "spec": {"cidr": "10.244.0.0/26"}}
    bare: dict[str, Any] = {
        "nodes": [name],
        "pods": [name],
        "spider_ip_pools": [{**name, "spec": {"subnet": "10.244.0.0/16"}}, {**name, "spec": {"subnet": "fd00::/64"}}],
        "ip_pools": [cidr],
        "bgp_configurations": [name],
        "bgp_peers": [name, {**name, "spec": {"filters": ["x"]}}],
        "bgp_filters": [name, {**name, "spec": {"exportV4": [{"action": "Reject"}]}}],
        "block_affinities": [cidr],
        "ip_blocks": [cidr, {**name, "spec": {"cidr": "10.244.0.0/26", "allocations": [3], "attributes": []}}],
        "cluster_informations": [name],
        "deployments": [{"metadata": {"name": "spiderpool-controller"}}, {"metadata": {"name": _CONTROLLERS}}],
        "daemon_sets": [{"metadata": {"name": "spiderpool-agent"}}, {"metadata": {"name": "spiderpool-ipam"}}],
        "calico_node_statuses": [{**name, "spec": {"node": "x"}}],
        **{each: [name] for each in NAMED},
    }
    for facts in (cluster(**bare), cluster(**{name: [] for name in bare})):
        # Without a controller, calico-node or a CalicoNodeStatus these have nothing to look at.
        not_made = {check.id for check in CHECKS if made(facts, check.id)["result"] == "not-checked"}
        assert not_made <= {"calico-backend", "bgp-sessions"}
