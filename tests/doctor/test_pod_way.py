"""The way of a pod's addresses, link by link."""

import json
from typing import Any

import pytest

from cni.doctor.facts import FactReader, unknown
from cni.doctor.pod_way import find_pod, way
from cni.doctor.pool_choice import refusal
from tests.doctor.documents import CLUSTER, changed, guide, spider_pool

ADDRESS = "10.244.100.0"
KEY = "ipam.spidernet.io/ippool"
POD: dict[str, Any] = {
    "metadata": {
        "name": "a",
        "namespace": "default",
        "uid": "u1",
        "annotations": {KEY: json.dumps({"ipv4": ["v4"]})},
    },
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running", "podIPs": [{"ip": ADDRESS}]},
}
ENDPOINT = {
    "metadata": {"name": "a", "namespace": "default"},
    "status": {"current": {"uid": "u1", "node": "node1", "ips": [{"interface": "eth0", "ipv4": f"{ADDRESS}/16"}]}},
}
BIRD = {
    "socket": "/var/run/calico/bird.ctl",
    "fault": "",
    "version": "BIRD 1.6.8 ready.",
    "protocols": [
        {
            "name": "Global_172_16_13_1",
            "neighbor": "172.16.13.1",
            "state": "Established",
            "since": "12:00:00",
            "last_error": "",
            "counters": {},
            "exported": [{"prefix": f"{ADDRESS}/32"}],
        }
    ],
}
ROUTER = {"neighbors": {}, "routes": {f"{ADDRESS}/32": ["172.16.13.11"]}}


def whole() -> Any:
    facts = guide({**CLUSTER, "namespaces": [], "pods": [POD], "spider_endpoints": [ENDPOINT], "router": ROUTER})
    return changed(facts, "node.bird", BIRD)


def links(facts: Any, name: str = "default/a") -> list[Any]:
    reader = FactReader(facts)
    pod = find_pod(reader, name)
    assert pod
    return list(way(reader, pod))


def first_broken(facts: Any) -> tuple[str, str]:
    return next((link.name, link.text) for link in links(facts) if link.state == "broken")


def test_a_way_without_a_break_is_told_link_by_link() -> None:
    found = links(whole())
    assert [(link.name, link.state) for link in found] == [
        (name, "ok")
        for name in (
            "pools",
            "SpiderEndpoint",
            "pod",
            f"{ADDRESS}: pool",
            f"{ADDRESS}: node",
            f"{ADDRESS}: export",
            f"{ADDRESS}: BIRD",
            f"{ADDRESS}: router",
        )
    ]
    assert found[0].text == f"IPv4 by the pod's annotation {KEY}: v4"
    assert found[5].text == "to 172.16.13.1: 10.244.0.0/16 covers 10.244.100.0/32 (IPPool/spiderpool-ippool)"


@pytest.mark.parametrize(
    ("name", "value", "link", "text"),
    [
        ("cluster.spider_ip_pools.0.spec.disable", True, "pools", "no pool; not v4 (it is disabled)"),
        ("cluster.spider_endpoints", [], "SpiderEndpoint", "there is none"),
        ("cluster.spider_endpoints.0.status.current.uid", "u0", "SpiderEndpoint", "of a former pod"),
        ("cluster.pods.0.status.podIPs", [], "pod", "without an address"),
        ("cluster.pods.0.status.podIPs.0.ip", "172.25.0.1", "172.25.0.1: pool", "another IPAM has given it"),
        ("cluster.pods.0.spec.hostNetwork", True, "pools", "node's own network"),
        ("node.local_addresses", [], f"{ADDRESS}: node", "no attachment with it"),
        ("cluster.ip_pools", [], f"{ADDRESS}: export", "no IPPool covers 10.244.100.0/32"),
        ("cluster.bgp_peers", [], f"{ADDRESS}: export", "node1 has no BGP session for IPv4"),
        ("node.bird.protocols.0.state", "Active", f"{ADDRESS}: BIRD", "is Active"),
        ("node.bird.protocols.0.exported", [], f"{ADDRESS}: BIRD", "and does not export it"),
        ("cluster.router.routes", {}, f"{ADDRESS}: router", "it has no such route"),
    ],
)
def test_the_first_broken_link_is_found(name: str, value: Any, link: str, text: str) -> None:
    found = first_broken(changed(whole(), name, value))
    assert found[0] == link
    assert text in found[1]


def test_of_a_pod_elsewhere_the_nodes_links_are_not_known() -> None:
    found = links(changed(whole(), "node.name", "node2"))
    assert {link.name for link in found if link.state == "not known"} == {f"{ADDRESS}: node", f"{ADDRESS}: BIRD"}
    assert "run doctor on node1 to see it" in {link.text for link in found}


def test_what_is_not_known_says_why_and_the_rest_is_told() -> None:
    found = links(changed(whole(), "cluster.spider_ip_pools", unknown("HTTP status 403")))
    assert found[0][1:] == ("not known", "HTTP status 403")
    assert found[1].state == "ok"


def test_a_pod_that_is_not_there_is_none() -> None:
    assert find_pod(FactReader(whole()), "default/b") is None


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ('[{"interface": "eth0", "ipv4": ["v4"]}]', "v4"),
        ('[{"interface": "net1", "ipv4": ["other"]}, {"ipv4": ["v4"]}]', "v4"),
        ('[{"ipv4": ["no-such"]}]', "no pool; not no-such (there is no such pool)"),
        ('[{"ipv4": ["v6"]}]', "no pool; not v6 (it is of IPv6)"),
    ],
)
def test_pools_by_interface_are_read(annotation: str, expected: str) -> None:
    facts = changed(whole(), "cluster.pods.0.metadata.annotations", {"ipam.spidernet.io/ippools": annotation})
    assert links(facts)[0].text == f"IPv4 by the pod's annotation ipam.spidernet.io/ippools: {expected}"


@pytest.mark.parametrize("text", ["", "{", "3", "null", "[]", '{"ipv4": 3}', "[" * 100_000])
def test_an_annotation_that_makes_no_sense_is_no_choice(text: str) -> None:
    facts = changed(whole(), "cluster.pods.0.metadata.annotations", {KEY: text})
    assert links(facts)[0] == ("pools", "broken", f"the pod's annotation {KEY} names no pool for eth0")


def test_a_pod_for_which_nobody_has_chosen_a_pool_has_none() -> None:
    facts = changed(whole(), "cluster.pods.0.metadata.annotations", {})
    assert links(facts)[0] == ("pools", "broken", "no pool is chosen for it")


def test_the_namespace_comes_before_the_default_pools() -> None:
    facts = changed(whole(), "cluster.pods.0.metadata.annotations", {})
    facts = changed(facts, "cluster.spider_ip_pools.0.spec.default", True)
    assert links(facts)[0].text == "IPv4 by default: v4"
    key = "ipam.spidernet.io/default-ipv4-ippool"
    namespace = {"metadata": {"name": "default", "annotations": {key: '["other"]'}}}
    told = links(changed(facts, "cluster.namespaces", [namespace]))[0]
    assert (told.state, told.text) == (
        "broken",
        f"IPv4 by the namespace's annotation {key}: no pool; not other (there is no such pool)",
    )


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, ""),
        ({"nodeName": ["node1"]}, ""),
        ({"nodeName": ["node2"]}, "it is not for node node1"),
        ({"namespaceName": ["other"]}, "it is not for namespace default"),
    ],
)
def test_a_pool_says_for_whom_it_is(spec: Any, reason: str) -> None:
    pool: Any = spider_pool("p", "10.244.0.0/16", **spec)
    assert refusal(pool, POD, 4) == reason  # type: ignore[arg-type]
