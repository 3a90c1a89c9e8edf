"""The addresses of SpiderPool's that are not Calico's, and those that it gives to nobody: no check misses them."""

from typing import Any

import pytest

from cni.doctor.checks import CHECKS
from cni.doctor.facts import FactReader, unknown
from cni.doctor.pod_way import find_pod, way
from tests.doctor.documents import CLUSTER, agent, changed, found, guide, ip_pool, made, spider_pool

LAN = [
    spider_pool("lan", "172.16.13.0/24", "172.16.13.100-172.16.13.120", multusName=["kube-system/macvlan"]),
    spider_pool("lan-v6", "fd00:16::/64", "fd00:16::100-fd00:16::120", multusName=["macvlan"]),
]
POD = {
    "metadata": {"name": "m", "namespace": "default"},
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running", "podIPs": [{"ip": "172.16.13.100"}]},
}
ENDPOINT = {
    "metadata": {"name": "m", "namespace": "default"},
    "status": {
        "current": {"node": "node1", "ips": [{"interface": "eth0", "ipv4": "172.16.13.100/24", "ipv4Pool": "lan"}]}
    },
}
WITHOUT_NETWORK = [agent(), *CLUSTER["daemon_sets"][1:]]
BY_POOLS = [one for one in CHECKS if "cluster.spider_ip_pools" in one.declared and one.part in ("node", "calico")]


def cluster(*pools: Any, **facts: Any) -> Any:
    return guide({**CLUSTER, "spider_ip_pools": list(pools), **facts})


def faults(facts: Any, check_id: str) -> list[Any]:
    return [one for one in found(facts, check_id) if one["severity"] != "information"]


@pytest.mark.parametrize("check", BY_POOLS, ids=lambda check: check.id)
def test_a_pool_of_another_network_is_not_calicos(check: Any) -> None:
    """Whether the agent names a network of the cluster or not: one that is set for macvlan is for macvlan."""
    v4 = CLUSTER["spider_ip_pools"][0]
    wrong: dict[str, Any] = {
        # What would be found if the pools were Calico's.
        "bgp_peers": CLUSTER["bgp_peers"][:1],
        "ip_pools": [
            *CLUSTER["ip_pools"],
            ip_pool("lan", "172.16.13.96/27", disableBGPExport=True, vxlanMode="Always"),
        ],
        "felix_configurations": [{"metadata": {"name": "default"}, "spec": {"ipv6Support": False}}],
        "block_affinities": [{"metadata": {"name": "b"}, "spec": {"cidr": "172.16.13.96/27", "node": "node1"}}],
        "spider_endpoints": [ENDPOINT],
        "pods": [POD],
    }
    for agents in (CLUSTER["daemon_sets"], WITHOUT_NETWORK):
        facts = cluster(v4, *LAN, **wrong, daemon_sets=agents)
        facts = changed(facts, "node.forwarding.ipv6", False)
        facts = changed(facts, "node.bird6.protocols", [])
        facts = changed(facts, "node.routes.1", {"prefix": "172.16.13.96/27", "type": "blackhole", "gateways": []})
        assert faults(facts, check.id) == []


def test_each_of_these_is_found_where_the_pool_names_the_network_of_the_cluster() -> None:
    own = [{**pool, "spec": {**pool["spec"], "multusName": ["macvlan", "k8s-pod-network"]}} for pool in LAN]
    facts = cluster(*own, bgp_peers=CLUSTER["bgp_peers"][:1])
    assert [one["object"] for one in found(facts, "calico-pool-covers")] == ["SpiderIPPool/lan", "SpiderIPPool/lan-v6"]
    assert found(facts, "bgp-peer-per-node") != []


def test_where_the_agent_is_not_known_nothing_is_said_of_pools_that_name_networks() -> None:
    no_agent = unknown("HTTP status 403")
    report = made(cluster(*LAN, daemon_sets=no_agent), "calico-pool-covers")
    assert (report["result"], report.get("because")) == ("not-checked", "HTTP status 403")
    assert made(cluster(*CLUSTER["spider_ip_pools"], daemon_sets=no_agent), "calico-pool-covers")["result"] == "ok"


def test_no_ippool_is_suggested_over_the_network_that_the_nodes_are_in() -> None:
    pool = spider_pool("lan", "172.16.13.0/24", "172.16.13.100-172.16.13.120")
    (finding,) = found(cluster(pool), "calico-pool-covers")
    assert "mend" not in finding


FILES: Any = [
    {"name": "10-calico.conflist", "network": "k8s-pod-network", "plugin_types": ["calico", "portmap"]},
    {"name": "40-vlan100.conflist", "network": "vlan100", "plugin_types": ["macvlan"]},
]
FILES = [{**one, "ipam_types": ["spiderpool"], "fault": ""} for one in FILES]


@pytest.mark.parametrize("network", ["vlan100", "a-network-of-multus", "k8s-pod-network", None])
def test_an_attachment_of_another_network_is_not_calicos(network: str | None) -> None:
    one = {"address": "172.16.13.100", "pod": "default/m", "interface": "eth0"}
    told = one if network is None else {**one, "network": network}  # older releases did not tell
    facts = changed(changed(cluster(*LAN), "node.local_addresses", [told]), "node.conflist.files", FILES)
    facts = changed(facts, "node.routes.1", {"prefix": "172.16.13.100/32", "type": "blackhole", "gateways": []})
    interface = {"address": "172.16.13.100", "interface": "", "is_up": False, "proxy_arp": None}
    facts = changed(facts, "node.pod_interfaces", [interface])
    facts = changed(facts, "cluster.spider_ip_pools", unknown("HTTP status 403"))
    for check_id in ("node-bird-exports", "node-cali", "node-blackhole"):
        assert bool(found(facts, check_id)) == (network in ("k8s-pod-network", None))


@pytest.mark.parametrize("is_by_pool", [True, False])
def test_the_way_of_such_an_address_ends_where_calicos_begins(is_by_pool: bool) -> None:
    pools = LAN if is_by_pool else CLUSTER["spider_ip_pools"]
    facts = cluster(*pools, pods=[POD], spider_endpoints=[ENDPOINT])
    local = {"address": "172.16.13.100", "pod": "default/m", "interface": "eth0", "network": "vlan100"}
    reader = FactReader(changed(facts, "node.local_addresses", [local]))
    pod = find_pod(reader, "default/m")
    assert pod
    last = list(way(reader, pod))[-1]
    because = "its network is vlan100, which is not Calico's"
    if is_by_pool:
        because = "SpiderIPPool/lan is for other networks than Calico's, by its multusName"
    assert (last.name, last.state, last.text) == ("172.16.13.100: export", "not-known", because)


EXCLUDED = spider_pool("p1", "10.244.0.0/16", "10.244.100.0-10.244.101.255", excludeIPs=["10.244.101.0-10.244.101.255"])
RESERVED = [{"metadata": {"name": "r"}, "spec": {"ips": ["10.244.100.0-10.244.100.255"]}}]


def test_what_a_pool_excludes_or_is_reserved_needs_no_ippool() -> None:
    narrow = [ip_pool("sp", "10.244.100.0/24", disabled=True)]
    assert found(cluster(EXCLUDED, ip_pools=narrow), "calico-pool-covers") == []
    assert found(cluster(EXCLUDED, ip_pools=[], spider_reserved_ips=RESERVED), "calico-pool-covers") == []
    (finding,) = found(cluster(EXCLUDED, ip_pools=[]), "calico-pool-covers")
    assert finding["seen"] == "its range 10.244.100.0-10.244.101.255 is in no IPPool"


def test_what_calico_has_of_the_excluded_addresses_is_its_own() -> None:
    """They may be excluded for just that: a pool of Calico's own, its blocks and the pods in them are well."""
    own = ip_pool("calicos", "10.244.101.0/24", disableBGPExport=True, vxlanMode="Always")
    block = {"metadata": {"name": "b"}, "spec": {"cidr": "10.244.101.0/26", "node": "node1"}}
    covering = ip_pool("sp", "10.244.100.0/24", disabled=True)
    facts = cluster(EXCLUDED, ip_pools=[covering, own], block_affinities=[block])
    for check_id in ("calico-pool-exports", "calico-pool-disabled", "calico-pool-encap", "calico-blocks"):
        assert found(facts, check_id) == []


def test_a_pool_without_ips_needs_no_ippool_and_no_session() -> None:
    facts = cluster(spider_pool("empty", "10.99.0.0/24"), spider_pool("empty-v6", "fd00:99::/64"), bgp_peers=[])
    assert found(facts, "calico-pool-covers") == found(facts, "bgp-peer-per-node") == []
