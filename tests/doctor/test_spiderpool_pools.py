"""SpiderPool's pools: one for pods that name none, room in each, and no address in them that is somebody else's."""

import json
import shlex
from typing import Any

import pytest
import yaml

from cni.doctor.ranges import ranges_of, without
from tests.doctor.documents import CLUSTER, calico_node, changed, guide, made, node_pod, spider_pool


def cluster(**facts: Any) -> Any:
    return guide({**CLUSTER, **facts})


def found(check_id: str, **facts: Any) -> list[Any]:
    return list(made(cluster(**facts), check_id)["findings"])


def patch_of(finding: Any) -> Any:
    arguments = shlex.split(finding["mend"]["text"])
    assert arguments[:3] == ["kubectl", "patch", "spiderippools.spiderpool.spidernet.io"]
    return arguments[3], json.loads(arguments[-1])["spec"]


def pod(name: str = "a", node: str = "node1", *, address: str = "", **annotations: str) -> dict[str, Any]:
    status = {"podIPs": [{"ip": address}]} if address else {}
    return {
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"nodeName": node},
        "status": {"phase": "Running" if address else "Pending", **status},
    }


def test_a_pod_that_waits_and_names_no_pool_needs_a_default() -> None:
    report = made(cluster(pods=[pod(), pod("b", address="172.25.0.9")]), "sp-default-pool")
    (finding,) = report["findings"]
    assert report["result"] == "failure"
    assert finding["seen"] == "no pool is the default, and 2 pods, as Pod/default/a, name no pool"
    assert patch_of(finding) == ("v4", {"default": True})


def test_a_pod_that_has_an_address_could_not_be_started_again() -> None:
    assert made(cluster(pods=[pod(address="172.25.0.9")]), "sp-default-pool")["result"] == "warning"


def test_with_a_default_of_each_family_all_is_well() -> None:
    pools = [spider_pool("v4", "10.244.0.0/16", default=True), spider_pool("v6", "fd00:244::/64", default=True)]
    assert found("sp-default-pool", pods=[pod()], spider_ip_pools=pools) == []
    (finding,) = found("sp-default-pool", pods=[pod()], spider_ip_pools=[pools[0], {**pools[1], "spec": V6}])
    assert (finding["severity"], patch_of(finding)) == ("warning", ("v6", {"default": True}))
    v4_only = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": "enableIPv6: false"}}
    facts = {"spider_ip_pools": [pools[0], {**pools[1], "spec": V6}], "spider_configs": [v4_only]}
    assert found("sp-default-pool", pods=[pod()], **facts) == []


def test_pools_of_the_conflist_are_as_good_as_default_ones() -> None:
    facts = cluster(pods=[pod()])
    assert made(facts, "sp-default-pool")["result"] == "failure"
    facts = changed(facts, "node.conflist", {**facts["node"]["conflist"], "pools": {"default_ipv4_ippool": ["v4"]}})
    assert made(facts, "sp-default-pool")["findings"] == []


V6 = {"subnet": "fd00:244::/64"}


def test_a_default_that_takes_no_pod_is_found() -> None:
    pools = [spider_pool("v4", "10.244.0.0/16", default=True, disable=True)]
    (finding,) = found("sp-default-pool", pods=[pod()], spider_ip_pools=pools)
    assert finding["seen"].endswith("the default takes none of them: SpiderIPPool/v4: it is disabled")
    assert patch_of(finding) == ("v4", {"disable": False})


@pytest.mark.parametrize(
    "named",
    [
        {"pods": [pod(**{"ipam.spidernet.io/ippool": '{"ipv4": ["v4"]}'})]},
        {"pods": [pod(**{"v1.multus-cni.io/default-network": "kube-system/other"})]},
        {"pods": [pod(node="node3")]},
        {"pods": [pod(node="")]},
        {"pods": [{**pod(), "spec": {"nodeName": "node1", "hostNetwork": True}}]},
        {
            "pods": [pod()],
            "namespaces": [
                {"metadata": {"name": "default", "annotations": {"ipam.spidernet.io/default-ipv4-ippool": '["v4"]'}}}
            ],
        },
    ],
)
def test_no_default_is_needed_by_pods_that_have_a_pool_or_are_not_ours(named: dict[str, Any]) -> None:
    assert found("sp-default-pool", **named) == []


@pytest.mark.parametrize("value", ["[]", "null"])
def test_a_namespace_that_names_no_pool_leaves_its_pods_to_the_default(value: str) -> None:
    annotations = {"ipam.spidernet.io/default-ipv4-ippool": value}
    assert found(
        "sp-default-pool", pods=[pod()], namespaces=[{"metadata": {"name": "default", "annotations": annotations}}]
    )


def test_an_annotation_that_spiderpool_does_not_read_names_no_pool() -> None:
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": "enableSpiderSubnet: false"}}
    pods = [pod(**{"ipam.spidernet.io/subnet": '{"ipv4": ["s"]}'})]
    assert found("sp-default-pool", pods=pods) == []
    assert found("sp-default-pool", pods=pods, spider_configs=[config])


def taken(*addresses: str) -> dict[str, Any]:
    records = {address: {"pod": f"default/p{n}", "podUid": str(n)} for n, address in enumerate(addresses)}
    return {"allocatedIPs": json.dumps(records), "allocatedIPCount": len(addresses)}


def full(*ips: str, status: Any, **spec: Any) -> dict[str, Any]:
    return {**spider_pool("v4", "10.244.0.0/24", *ips, **spec), "status": status}


@pytest.mark.parametrize(("number", "result"), [(8, "ok"), (9, "warning"), (10, "failure")], ids=["80%", "90%", "100%"])
def test_how_full_a_pool_is(number: int, result: str) -> None:
    pool = full("10.244.0.11-10.244.0.20", status=taken(*(f"10.244.0.{11 + n}" for n in range(number))))
    assert made(cluster(spider_ip_pools=[pool]), "sp-pool-full")["result"] == result


def test_what_is_excluded_or_reserved_is_no_room() -> None:
    pool = full("10.244.0.11-10.244.0.14", status=taken("10.244.0.11"), excludeIPs=["10.244.0.12-10.244.0.13"])
    reserved = [{"metadata": {"name": "r"}, "spec": {"ips": ["10.244.0.14"]}}]
    (finding,) = found("sp-pool-full", spider_ip_pools=[pool], spider_reserved_ips=reserved)
    assert finding["seen"] == "all of its 1 addresses are taken"


def test_a_full_pool_is_given_the_free_addresses_that_come_next() -> None:
    pools = [
        full("10.244.0.11-10.244.0.12", status={"allocatedIPCount": 2}, gateway="10.244.0.15"),
        spider_pool("b", "10.244.0.0/24", "10.244.0.13"),
    ]
    findings = found("sp-pool-full", spider_ip_pools=pools)
    name, spec = patch_of(findings[0])
    assert (name, spec) == ("v4", {"ips": ["10.244.0.11-10.244.0.12", "10.244.0.14"]})


def test_a_pool_of_a_subnet_of_spiderpools_is_not_ours_to_enlarge() -> None:
    pool = full("10.244.0.11", status={"allocatedIPCount": 1})
    pool["metadata"]["labels"] = {"ipam.spidernet.io/owner-spider-subnet": "s"}
    (finding,) = found("sp-pool-full", spider_ip_pools=[pool])
    assert "mend" not in finding


@pytest.mark.parametrize("last", ["200.1", "19.136"], ids=["more", "as many"])
def test_a_pool_with_as_many_records_as_spiderpool_keeps_is_not_enlarged(last: str) -> None:
    pool = {**spider_pool("v4", "10.244.0.0/16", f"10.244.0.1-10.244.{last}"), "status": {"allocatedIPCount": 5000}}
    (finding,) = found("sp-pool-full", spider_ip_pools=[pool])
    assert finding["seen"].endswith("SpiderPool keeps at most 5000 records in a pool: more pods need another pool")
    assert "mend" not in finding


def test_a_full_pool_is_not_given_what_it_excludes_or_is_reserved() -> None:
    pool = full("10.244.0.10-10.244.0.20", status={"allocatedIPCount": 11}, excludeIPs=["10.244.0.21-10.244.0.250"])
    reserved = [{"metadata": {"name": "r"}, "spec": {"ips": ["10.244.0.251"]}}]
    (finding,) = found("sp-pool-full", spider_ip_pools=[pool], spider_reserved_ips=reserved)
    assert patch_of(finding)[1] == {"ips": ["10.244.0.10-10.244.0.20", "10.244.0.252-10.244.0.254"]}


def test_nobody_waits_for_a_pool_that_is_disabled_or_being_deleted() -> None:
    pool = full("10.244.0.10", status={"allocatedIPCount": 1})
    deleted = {**pool, "metadata": {"name": "b", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    disabled = {**pool, "spec": {**pool["spec"], "disable": True}}
    assert found("sp-pool-full", spider_ip_pools=[deleted, disabled]) == []


def test_a_pool_without_ips_has_no_address_and_which_are_free_is_not_known() -> None:
    (finding,) = found("sp-pool-full", spider_ip_pools=[spider_pool("empty", "10.99.0.0/24")])
    assert (finding["seen"], "mend" in finding) == ("it has no address to give", False)
    of_application = spider_pool("auto", "10.99.0.0/24")
    of_application["metadata"]["labels"] = {"ipam.spidernet.io/owner-application-name": "scaled-to-none"}
    assert found("sp-pool-full", spider_ip_pools=[of_application]) == []


@pytest.mark.parametrize(("taken", "severities"), [(10, []), (11, ["warning"])])
def test_a_pool_that_is_as_large_as_its_application_fails_nothing(taken: int, severities: list[str]) -> None:
    pool = full("10.244.0.10-10.244.0.20", status={"allocatedIPCount": taken})
    pool["metadata"]["labels"] = {"ipam.spidernet.io/owner-application-name": "web"}
    assert [one["severity"] for one in found("sp-pool-full", spider_ip_pools=[pool])] == severities


def test_a_full_pool_of_another_network_is_not_given_addresses_of_others() -> None:
    pool = full("10.244.0.10", status={"allocatedIPCount": 1}, multusName=["kube-system/macvlan"])
    assert "mend" not in found("sp-pool-full", spider_ip_pools=[pool])[0]


def test_ranges_without_others() -> None:
    wanted = ranges_of(["10.0.0.0-10.0.0.9", "fd00::1"])
    left = without(wanted, ranges_of(["10.0.0.0", "10.0.0.4-10.0.0.5", "10.0.0.9-10.0.0.20", "fd00::1"]))
    assert [str(one) for one in left] == ["10.0.0.1-10.0.0.3", "10.0.0.6-10.0.0.8"]


@pytest.mark.parametrize(
    ("ips", "spec", "seen"),
    [
        ("172.16.13.11", {}, "it gives 172.16.13.11, which is an address of Node/node1"),
        ("172.16.13.1", {}, "it gives 172.16.13.1, which is the router of BGPPeer/my-global-peer"),
        ("172.16.13.50", {"gateway": "172.16.13.50"}, "it gives 172.16.13.50, which is the pool's own gateway"),
    ],
)
def test_somebody_elses_address_is_found_and_reserved(ips: str, spec: dict[str, Any], seen: str) -> None:
    pools = [spider_pool("p", "172.16.13.0/24", ips, **spec)]
    (finding,) = found("sp-pool-overlaps", spider_ip_pools=pools)
    assert finding["seen"] == seen
    reserved = yaml.safe_load(finding["mend"]["text"])
    assert (reserved["kind"], reserved["spec"]) == ("SpiderReservedIP", {"ipVersion": 4, "ips": [ips]})
    assert found("sp-pool-overlaps", spider_ip_pools=pools, spider_reserved_ips=[reserved]) == []
    excluded = [spider_pool("p", "172.16.13.0/24", ips, excludeIPs=[ips], **spec)]
    assert found("sp-pool-overlaps", spider_ip_pools=excluded) == []


def test_an_ipv6_address_of_a_node_is_reserved_by_a_name_that_the_api_takes() -> None:
    pools = [spider_pool("p", "fd00:16::/64", "fd00:16::b")]
    node = calico_node("node1", 11)
    node["status"] = {"addresses": [{"type": "InternalIP", "address": "fd00:16::b"}]}
    (finding,) = found("sp-pool-overlaps", spider_ip_pools=pools, nodes=[node])
    assert yaml.safe_load(finding["mend"]["text"])["metadata"]["name"] == "not-for-pods-fd00-16--b"


def test_a_range_of_services_addresses_is_found() -> None:
    pools = [spider_pool("p", "10.96.0.0/16", "10.96.7.1-10.96.7.9")]
    (finding,) = found("sp-pool-overlaps", spider_ip_pools=pools)
    assert finding["seen"] == "its range 10.96.7.1-10.96.7.9 is in 10.96.0.0/12, where services' addresses are"


def test_nodes_that_are_not_ours_are_told_by_our_daemon_set() -> None:
    facts = {"pods": [pod(node="node2")], "own_pods": [node_pod("a", "node1")]}
    assert found("sp-default-pool", **facts) == []
