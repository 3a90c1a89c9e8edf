"""The annotations that name pools: what SpiderPool refuses is found, with the name that may be meant."""

import json
import shlex
from typing import Any

import pytest

from cni.doctor.pool_filters import selects
from tests.doctor.documents import CLUSTER, guide, made, spider_pool, workload

IPPOOL, IPPOOLS = "ipam.spidernet.io/ippool", "ipam.spidernet.io/ippools"
SUBNET, SUBNETS = "ipam.spidernet.io/subnet", "ipam.spidernet.io/subnets"
NAMESPACE_V4 = "ipam.spidernet.io/default-ipv4-ippool"


def pod(annotations: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "a",
            "namespace": "default",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "a"}],
            "labels": {"app": "a"},
            "annotations": annotations,
            **metadata,
        },
        "spec": {"nodeName": "node1"},
    }


def found(annotations: dict[str, str], **facts: Any) -> list[Any]:
    return list(made(guide({**CLUSTER, "pods": [pod(annotations)], **facts}), "sp-annotations")["findings"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (IPPOOL, '{"ipv4": ["v4"]}'),
        (IPPOOL, '{"IPv4": ["v4"], "ipv6": null, "other": 1}'),
        (IPPOOL, '{"ipv4": ["v*"], "ipv6": ["v6"]}'),
        (IPPOOLS, '[{"interface": "eth0", "ipv4": ["v4"]}, {"interface": "net1", "ipv4": ["v4"]}]'),
        (IPPOOLS, '[{"ipv4": ["v4"], "cleangateway": true}]'),
        ("other", "{"),
    ],
)
def test_what_spiderpool_follows_is_not_found(key: str, value: str) -> None:
    assert found({key: value}) == []


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        (IPPOOL, "v4", "it is not JSON"),
        (IPPOOL, "[" * 100_000, "it is not JSON"),
        (IPPOOL, '{"ipv4": "v4"}', "it has another shape than SpiderPool reads"),
        (IPPOOL, '["v4"]', "it has another shape than SpiderPool reads"),
        (IPPOOL, "{}", "it names no pool"),
        (IPPOOL, "null", "it names no pool"),
        (IPPOOL, '{"ipv4": ["[]a]*"]}', "[]a]* is no pattern"),
        (IPPOOL, '{"ipv4": []}', "it names no pool"),
        (IPPOOL, '{"ipv4": ["v4", "v4"]}', "it names the pool v4 twice"),
        (IPPOOL, '{"ipv4": ["x*"]}', "no IPv4 pool matches x*"),
        (IPPOOL, '{"ipv4": ["v6"]}', "SpiderPool takes none of its IPv4 pools: v6: it is an IPv6 pool"),
        (IPPOOLS, "[]", "it has no item"),
        (IPPOOLS, "null", "it has no item"),
        (IPPOOLS, '[{"interface": "net1", "ipv4": ["v4"]}]', "it names the interfaces net1, and not eth0"),
        (IPPOOLS, '[{"interface": "eth0", "ipv4": ["v4"]}, {"ipv4": ["v4"]}]', "some of its items name an interface"),
        (
            IPPOOLS,
            '[{"interface": "eth0", "ipv4": ["v4"]}, {"interface": "eth0", "ipv6": ["v6"]}]',
            "it names the interface eth0 more than once",
        ),
        (SUBNET, '{"ipv4": ["s"]}', "there is no SpiderSubnet s"),
        (SUBNETS, '{"ipv4": ["s"]}', "it has another shape than SpiderPool reads"),
    ],
)
def test_what_spiderpool_refuses_is_found(key: str, value: str, seen: str) -> None:
    (finding,) = found({key: value})
    assert finding["object"] == "Pod/default/a"
    assert finding["seen"].startswith(f"{key}: ")
    assert seen in finding["seen"]


def test_of_a_pool_that_there_is_not_the_nearest_name_mends_it() -> None:
    pools = [spider_pool("default-v4-ippool", "10.244.0.0/16"), spider_pool("v6", "fd00:244::/64")]
    (finding,) = found({IPPOOL: '{"ipv4": ["default-ipv4-ippool"]}'}, spider_ip_pools=pools)
    assert finding["seen"].endswith("there is no SpiderIPPool default-ipv4-ippool; default-v4-ippool may be meant")
    arguments = shlex.split(finding["mend"]["text"])
    assert arguments[:6] == ["kubectl", "-n", "default", "annotate", "pod", "a"]
    key, _, value = arguments[-1].partition("=")
    assert found({key: value}, spider_ip_pools=pools) == []


def test_a_template_is_mended_and_its_pods_are_not_told_again() -> None:
    value = '{"ipv4": ["v44"]}'
    deployment = workload("web", annotations={IPPOOL: value})
    deployment["metadata"]["namespace"] = "default"
    (finding,) = found({IPPOOL: value}, deployments=[deployment])
    assert finding["object"] == "Deployment/default/web"
    patch = json.loads(shlex.split(finding["mend"]["text"])[-1])
    assert patch["spec"]["template"]["metadata"]["annotations"] == {IPPOOL: '{"ipv4": ["v4"]}'}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"disable": True}, "it is disabled"),
        ({"nodeName": ["node2"]}, "its nodeName does not have node1"),
        (
            {"nodeAffinity": {"matchLabels": {"kubernetes.io/hostname": "node2"}}},
            "its nodeAffinity does not match the labels of node1",
        ),
        ({"namespaceName": ["other"]}, "its namespaceName does not have default"),
        (
            {"namespaceAffinity": {"matchLabels": {"team": "b"}}},
            "its namespaceAffinity does not match the labels of default",
        ),
        ({"podAffinity": {"matchLabels": {"app": "b"}}}, "its podAffinity does not match the pod's labels"),
    ],
)
def test_a_pool_that_is_not_for_the_pod_is_found(spec: dict[str, Any], reason: str) -> None:
    pools = [spider_pool("v4", "10.244.0.0/16", **spec)]
    (finding,) = found({IPPOOL: '{"ipv4": ["v4"]}'}, spider_ip_pools=pools)
    assert finding["seen"].endswith(f"SpiderPool takes none of its IPv4 pools: v4: {reason}")
    others = [*pools, spider_pool("b", "10.244.0.0/16")]
    assert found({IPPOOL: '{"ipv4": ["v4", "b"]}'}, spider_ip_pools=others) == []


def test_a_pool_that_is_disabled_is_enabled_where_there_is_no_other() -> None:
    pools = [spider_pool("v4", "10.244.0.0/16", disable=True)]
    (finding,) = found({IPPOOL: '{"ipv4": ["v4"]}'}, spider_ip_pools=pools)
    assert finding["mend"]["text"].endswith("""v4 --type=merge -p '{"spec": {"disable": false}}'""")


def test_pools_that_spiderpool_makes_for_an_application_are_its_own_to_match() -> None:
    pool = spider_pool("auto", "10.244.0.0/16", podAffinity={"matchLabels": {"ipam.spidernet.io/app-name": "a"}})
    pool["metadata"]["labels"] = {"ipam.spidernet.io/owner-application-name": "a"}
    assert found({IPPOOL: '{"ipv4": ["auto"]}'}, spider_ip_pools=[pool]) == []


@pytest.mark.parametrize(
    ("operator", "values", "is_met"),
    [
        ("In", ["a"], True),
        ("In", ["b"], False),
        ("NotIn", ["b"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Like", [], False),
    ],
)
def test_selectors_are_those_of_kubernetes(operator: str, values: list[str], is_met: bool) -> None:
    requirement: Any = {"key": "app", "operator": operator, "values": values}
    assert selects({"matchExpressions": [requirement]}, {"app": "a"}) is is_met


def test_a_family_that_spiderpool_does_not_give_is_found_where_no_other_is_named() -> None:
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": "enableIPv6: false"}}
    (finding,) = found({IPPOOL: '{"ipv6": ["v6"]}'}, spider_configs=[config])
    assert "it names IPv6 pools only" in finding["seen"]
    assert found({IPPOOL: '{"ipv4": ["v4"], "ipv6": ["none"]}'}, spider_configs=[config]) == []


@pytest.mark.parametrize(("settings", "number"), [("enableSpiderSubnet: false", 0), ("enableSpiderSubnet: true", 1)])
def test_subnets_are_followed_where_spiderpool_has_them_enabled(settings: str, number: int) -> None:
    config = {
        "metadata": {"name": "spiderpool-conf"},
        "data": {"conf.yml": f"{settings}\nenableAutoPoolForApplication: false"},
    }
    subnets = [{"metadata": {"name": "s"}}]
    assert len(found({SUBNET: '{"ipv4": ["s"]}'}, spider_subnets=subnets, spider_configs=[config])) == number


def test_a_pod_that_nothing_has_made_gets_no_address_of_a_subnet() -> None:
    lone = pod({SUBNET: '{"ipv4": ["s"]}'}, ownerReferences=[])
    (finding,) = found({}, pods=[lone], spider_subnets=[{"metadata": {"name": "s"}}])
    assert "for a pod that no Deployment or the like has made" in finding["seen"]


@pytest.mark.parametrize(
    ("value", "seen"), [("v4", "it is not JSON"), ('["v44"]', "v4 may be meant"), ('["v6"]', "it is an IPv6 pool")]
)
def test_what_a_namespace_names_is_looked_at(value: str, seen: str) -> None:
    namespace = {"metadata": {"name": "default", "annotations": {NAMESPACE_V4: value}}}
    (finding,) = found({}, namespaces=[namespace])
    assert finding["object"] == "Namespace/default"
    assert seen in finding["seen"]


def test_pods_of_the_nodes_own_network_and_those_that_have_ended_are_left_out() -> None:
    wrong = pod({IPPOOL: "{"})
    others = [
        {**wrong, "spec": {"hostNetwork": True}},
        {**wrong, "status": {"phase": "Succeeded"}},
        pod({IPPOOL: "{"}, deletionTimestamp="2026-01-01T00:00:00Z"),
    ]
    assert found({}, pods=others) == []
