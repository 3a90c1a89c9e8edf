"""Which pools SpiderPool takes for a pod: who names them, patterns of names, and each filter."""

import time
from typing import Any

import pytest

from cni.doctor.facts import FactReader
from cni.doctor.pool_filters import Surroundings, refusal, surroundings
from cni.doctor.pool_names import AnnotationError, matching
from cni.doctor.pool_selection import choices, told_by
from cni.doctor.subjects import Subject
from tests.doctor.documents import CLUSTER, agent, guide, spider_pool

IPPOOL, IPPOOLS = "ipam.spidernet.io/ippool", "ipam.spidernet.io/ippools"
SUBNET = "ipam.spidernet.io/subnet"
OF_NAMESPACE = "ipam.spidernet.io/default-ipv{}-ippool"
NODES = [{"metadata": {"name": "node1", "labels": {"zone": "a"}}}, {"metadata": {"name": "node2"}}]
MULTUS = {"name": "MULTUS_CLUSTER_NETWORK", "value": "kube-system/k8s-pod-network"}

NOT_TEAM = "its namespaceAffinity does not match the labels of default"
NOT_POD = "its podAffinity does not match the pod's labels"
NOT_NETWORK = "its multusName does not have kube-system/k8s-pod-network, the network of eth0"


def around(*pools: Any, annotations: dict[str, str] | None = None, **cluster: Any) -> Surroundings:
    """Return the surroundings of these pools, in a namespace with these annotations."""
    namespace = {"metadata": {"name": "default", "labels": {"team": "a"}, "annotations": annotations or {}}}
    facts = {"spider_ip_pools": list(pools), "namespaces": [namespace], "nodes": NODES, "daemon_sets": [agent(MULTUS)]}
    return surroundings(FactReader(guide({**CLUSTER, **facts, **cluster})))


def pod(node: str = "node1", **annotations: str) -> Subject:
    return Subject("Pod", "default", "a", annotations, {"app": "web"}, node)


def why_not(subject: Subject, where: Surroundings) -> str:
    return refusal(where.pools[0], 4, subject, where)


def v4(name: str = "p", **spec: Any) -> dict[str, Any]:
    return spider_pool(name, "10.244.0.0/16", **spec)


def rule(operator: str, *values: str, key: str = "app") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, ""),
        ({"disable": True}, "it is disabled"),
        ({"ipVersion": 6}, "it is an IPv6 pool"),
        ({"nodeName": ["node1"]}, ""),
        ({"nodeName": ["node2"]}, "its nodeName does not have node1"),
        ({"nodeName": ["node1"], "nodeAffinity": {"matchLabels": {"zone": "b"}}}, ""),
        ({"nodeAffinity": {"matchLabels": {"zone": "a"}}}, ""),
        ({"nodeAffinity": {"matchLabels": {"zone": "b"}}}, "its nodeAffinity does not match the labels of node1"),
        ({"namespaceName": ["default"], "namespaceAffinity": {"matchLabels": {"team": "b"}}}, ""),
        ({"namespaceName": ["other"]}, "its namespaceName does not have default"),
        ({"namespaceAffinity": {"matchLabels": {"team": "a"}}}, ""),
        ({"namespaceAffinity": rule("DoesNotExist", key="team")}, NOT_TEAM),
        ({"podAffinity": {}}, ""),
        ({"podAffinity": rule("In", "web", "db")}, ""),
        ({"podAffinity": rule("NotIn", "web")}, NOT_POD),
        ({"podAffinity": rule("NotIn")}, NOT_POD),
        ({"podAffinity": rule("Exists", "web")}, NOT_POD),
        ({"multusName": ["k8s-pod-network"]}, ""),
        ({"multusName": ["default/k8s-pod-network"]}, NOT_NETWORK),
        ({"multusName": []}, ""),
    ],
)
def test_a_pool_says_for_whom_it_is(spec: Any, reason: str) -> None:
    assert why_not(pod(), around(v4(**spec))) == reason


def test_a_pool_that_is_being_deleted_gives_nothing() -> None:
    pool = v4(disable=True)
    pool["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert why_not(pod(), around(pool)) == "it is being deleted"


def test_a_template_needs_any_node_and_a_pod_its_own() -> None:
    where = around(v4(nodeAffinity={"matchLabels": {"zone": "a"}}))
    assert why_not(pod(""), where) == ""
    assert why_not(pod("node2"), where) != ""
    none = around(v4(nodeName=["node9"]))
    assert why_not(pod(""), none) == "its nodeName does not have any node of the cluster"


def test_a_node_that_there_is_not_matches_no_affinity() -> None:
    assert why_not(pod("node9"), around(v4(nodeAffinity=rule("DoesNotExist", key="x")))) != ""


def test_affinities_to_what_is_not_known_are_taken_to_match() -> None:
    unknown = {"unknown": "HTTP status 403"}
    pool = v4(nodeAffinity={"matchLabels": {"zone": "b"}}, namespaceAffinity={"matchLabels": {"team": "b"}})
    where = around(pool, nodes=unknown, namespaces=unknown, daemon_sets=unknown)
    assert why_not(pod(), where) == ""
    assert why_not(pod(), around(v4(nodeName=["node2"]), nodes=unknown)) != ""


@pytest.mark.parametrize(
    "network",
    [
        "kube-system/other",
        "other@eth0",
        "other, more",
        '[{"name": "other"}]',
        '[{"name": "other", "namespace": "kube-system"}]',
    ],
)
def test_a_pod_may_name_the_network_of_its_own(network: str) -> None:
    where = around(v4(multusName=["other"]))
    assert why_not(pod(), where) != ""
    assert why_not(pod(**{"v1.multus-cni.io/default-network": network}), where) == ""


@pytest.mark.parametrize("network", ['[{"name": 3, "x"', "[]", "[[]]", "{}", '"x"', "["])
def test_a_network_that_makes_no_sense_decides_nothing(network: str) -> None:
    assert why_not(pod(**{"v1.multus-cni.io/default-network": network}), around(v4(multusName=["x"]))) == ""


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", ["v4-a", "v4-b", "v6"]),
        ("v4-?", ["v4-a", "v4-b"]),
        ("v4-[a]", ["v4-a"]),
        ("v4-[^a]", ["v4-b"]),
        ("v4-[!a]", ["v4-a"]),
        ("v[0-5]*", ["v4-a", "v4-b"]),
        ("v[5-0]*", []),
        ("v[^5-0]", ["v6"]),
        (r"v\4-*", ["v4-a", "v4-b"]),
        (r"v[\4]-[ab]", ["v4-a", "v4-b"]),
        ("v4.a*", []),
    ],
)
def test_patterns_are_those_of_go(pattern: str, matches: list[str]) -> None:
    assert matching(IPPOOL, pattern, ["v4-a", "v4-b", "v6"]) == matches


@pytest.mark.parametrize("pattern", ["[]a]*", "[a-]*", "[^]*", "*[", "[a", "*\\", "[-a]*", "[\\"])
def test_what_is_no_pattern_of_gos_is_an_error(pattern: str) -> None:
    with pytest.raises(AnnotationError, match="is no pattern"):
        matching(IPPOOL, pattern, ["v4"])


@pytest.mark.parametrize("pattern", ["*?" * 30 + "z", "*a" * 30 + "z", "*a*" * 30 + "z"])
def test_a_pattern_of_many_stars_takes_no_time(pattern: str) -> None:
    started = time.process_time()
    assert matching(IPPOOL, pattern, ["a" * 60, "b" * 253]) == []
    assert time.process_time() - started < 2


@pytest.mark.parametrize("pattern", ["\0\0", "[\0]", "[\0-a]*\0*"])
def test_a_pattern_with_a_nul_is_one(pattern: str) -> None:
    assert matching(IPPOOL, pattern, ["b"]) == []


def test_a_pattern_of_a_family_that_is_not_given_has_to_be_one_as_well() -> None:
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": {"enableIPv6": False}}}
    where = around(v4(), spider_pool("v6", "fd00:244::/64"), spider_configs=[config])
    assert [one.taken for one in choices(pod(**{IPPOOL: '{"ipv4": ["p"], "ipv6": ["no-such"]}'}), where)] == [["p"]]
    with pytest.raises(AnnotationError, match="is no pattern"):
        choices(pod(**{IPPOOL: '{"ipv4": ["p"], "ipv6": ["[]a]*"]}'}), where)


@pytest.mark.parametrize(
    ("own", "namespace", "settings", "key"),
    [
        ({}, {}, {}, ""),
        ({}, {4: '["v4"]'}, {}, OF_NAMESPACE.format(4)),
        ({}, {4: "[]", 6: "null"}, {}, ""),
        ({}, {4: "[]", 6: '["v6"]'}, {}, OF_NAMESPACE.format(6)),
        ({}, {4: "v4"}, {}, OF_NAMESPACE.format(4)),
        ({IPPOOL: "{}"}, {4: '["v4"]'}, {}, IPPOOL),
        ({IPPOOL: "{}", IPPOOLS: "[]"}, {}, {}, IPPOOLS),
        ({IPPOOL: "{}", SUBNET: "{}"}, {}, {}, SUBNET),
        ({SUBNET: "{}"}, {}, {"enableSpiderSubnet": False}, ""),
    ],
)
def test_what_is_nearer_to_the_pod_decides(own: Any, namespace: Any, settings: Any, key: str) -> None:
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": settings}}
    told = {OF_NAMESPACE.format(family): text for family, text in namespace.items()}
    assert told_by(pod(**own), around(v4(), annotations=told, spider_configs=[config])) == key


def test_a_namespace_that_names_pools_of_one_family_leaves_the_other_without() -> None:
    v6 = spider_pool("v6", "fd00:244::/64", default=True)
    where = around(v4(default=True), v6, annotations={OF_NAMESPACE.format(6): '["v6"]'})
    assert [(one.family, one.taken) for one in choices(pod(), where)] == [(6, ["v6"])]


def test_pools_that_are_for_fewer_pods_are_asked_first() -> None:
    pools = [
        v4("any", default=True),
        v4("net", default=True, multusName=["k8s-pod-network"]),
        v4("node", default=True, nodeName=["node1"]),
        v4("web", default=True, podAffinity={"matchLabels": {"app": "web"}}),
    ]
    (chosen,) = choices(pod(), around(*pools))
    assert chosen.taken == ["web", "node", "net", "any"]


@pytest.mark.parametrize("names", ['["p", "no-such"]', '["p", "p"]', '["p*", "p"]'])
def test_a_name_that_is_wrong_has_the_others_refused_as_well(names: str) -> None:
    (chosen,) = choices(pod(**{IPPOOL: f'{{"ipv4": {names}}}'}), around(v4()))
    assert chosen.taken == []


def test_items_without_interfaces_are_taken_in_their_order() -> None:
    value = '[{"ipv4": ["p"]}, {"ipv4": ["p"]}]'
    assert [one.interface for one in choices(pod(**{IPPOOLS: value}), around(v4()))] == ["eth0", ""]
