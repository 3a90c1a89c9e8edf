"""The way of a pod's addresses, link by link."""

import inspect
import json
import re
from typing import Any

import pytest

from cni.doctor import address_links, pod_links, pod_way, run
from cni.doctor.checks import CHECKS
from cni.doctor.facts import FactReader, unknown
from cni.doctor.pod_way import Link, cause, find_pod, look_at, way
from tests.doctor.documents import CLUSTER, VERSION, calico_node, changed, guide, spider_pool

ADDRESS = "10.244.100.0"
COVERING = "IPPool/spiderpool-ippool"
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
ROUTER = {"neighbors": {}, "routes": {f"{ADDRESS}/32": ["172.16.13.11"]}}


RECORD = {"allocatedIPs": json.dumps({ADDRESS: {"pod": "default/a", "podUid": "u1"}}), "allocatedIPCount": 1}
POOLS = [
    {**spider_pool("v4", "10.244.0.0/16", "10.244.100.0-10.244.200.1"), "status": RECORD},
    spider_pool("v6", "fd00:244::/64", "fd00:244::100-fd00:244::200"),
]


def whole() -> Any:
    facts = {"pods": [POD], "spider_ip_pools": POOLS, "spider_endpoints": [ENDPOINT], "router": ROUTER}
    return guide({**CLUSTER, **facts})


def waiting(facts: Any) -> Any:
    """Return the document with the pod before it has an address."""
    facts = changed(changed(facts, "cluster.pods.0.status", {"phase": "Pending"}), "cluster.spider_endpoints", [])
    return changed(facts, "cluster.spider_ip_pools.0.status", {})


def links(facts: Any, name: str = "default/a") -> list[Link]:
    reader = FactReader(facts)
    pod = find_pod(reader, name)
    assert pod
    return list(way(reader, pod))


def first_broken(facts: Any) -> Link:
    return next(link for link in links(facts) if link.state == "broken")


def mend_of(facts: Any, link: Link) -> tuple[str, str]:
    """Return the check that names what has broken a link, and its mend."""
    report = run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), VERSION)
    found = cause(link, report)
    return (found.check["id"], found.finding.get("mend", {"text": ""})["text"]) if found else ("", "")


def test_a_way_without_a_break_is_told_link_by_link() -> None:
    found = [(link.name, link.state, link.text) for link in links(whole())]
    assert found == [
        ("pools", "ok", f"IPv4 by the pod's annotation {KEY}: v4"),
        ("SpiderIPPool", "ok", f"v4 has {ADDRESS} for it"),
        ("SpiderEndpoint", "ok", f"{ADDRESS}/16"),
        ("pod", "ok", f"Running on node1, {ADDRESS}"),
        (f"{ADDRESS}: node", "ok", "the runtime has attached it, and its host route leads to cali01234567890"),
        (
            f"{ADDRESS}: export",
            "ok",
            f"to 172.16.13.1: 10.244.0.0/16 covers {ADDRESS}/32 (IPPool/spiderpool-ippool)",
        ),
        (f"{ADDRESS}: BIRD", "ok", "Global_172_16_13_1 is Established, and exports it"),
        (f"{ADDRESS}: router", "ok", "via 172.16.13.11"),
    ]


POLICY = {
    "neighbors": {"172.16.13.11": {"state": "Established", "peer_state": "Policy", "prefixes_received": 0}},
    "routes": {},
}
RECORDS = "cluster.spider_ip_pools.0.status.allocatedIPs"


@pytest.mark.parametrize(
    ("name", "value", "link", "text", "check"),
    [
        (RECORDS, "{}", "SpiderIPPool", f"v4 has no record of {ADDRESS}", ""),
        (RECORDS, RECORD["allocatedIPs"].replace("/a", "/b"), "SpiderIPPool", "was given to default/b", ""),  # type: ignore[attr-defined]
        (RECORDS, RECORD["allocatedIPs"].replace("u1", "u0"), "SpiderIPPool", "of a former pod of this name", ""),  # type: ignore[attr-defined]
        ("cluster.pods.0.status.podIPs.0.ip", "172.25.0.1", "SpiderIPPool", "another IPAM has given it", "sp-wrong"),
        ("cluster.spider_endpoints", [], "SpiderEndpoint", "there is none", ""),
        ("cluster.spider_endpoints.0.status.current.uid", "u0", "SpiderEndpoint", "of a former pod", ""),
        ("cluster.pods.0.status.podIPs", [], "pod", "without an address", ""),
        ("cluster.pods.0.spec.hostNetwork", True, "pod", "node's own network", ""),
        ("cluster.pods.0.status.phase", "Succeeded", "pod", "it has ended", ""),
        ("cluster.pods.0.spec.nodeName", "", "pod", "the scheduler has found no node", ""),
        ("node.local_addresses", [], f"{ADDRESS}: node", "no attachment with it", ""),
        ("node.pod_interfaces.0.interface", "", f"{ADDRESS}: node", "there is no host route to it", "node-cali"),
        ("node.pod_interfaces.0.is_up", False, f"{ADDRESS}: node", "not as Calico makes it", "node-cali"),
        ("cluster.ip_pools", [], f"{ADDRESS}: export", f"no IPPool covers {ADDRESS}/32", "calico-pool-covers"),
        ("cluster.ip_pools.1.spec.disableBGPExport", True, f"{ADDRESS}: export", "is true", "calico-pool-exports"),
        ("cluster.bgp_peers", [], f"{ADDRESS}: export", "node1 has no BGP session for IPv4", ""),
        ("node.bird.protocols.0.state", "Active", f"{ADDRESS}: BIRD", "is Active", "node-bird"),
        ("node.bird.protocols.0.exported", [], f"{ADDRESS}: BIRD", "and does not export it", "node-bird-exports"),
        ("cluster.router.routes", {"0.0.0.0/0": ["1.1.1.1"]}, f"{ADDRESS}: router", "no such route", "bgp-router-view"),
        ("cluster.router", POLICY, f"{ADDRESS}: router", "it has no such route", "bgp-router-view"),
        (
            "cluster.router.routes",
            {f"{ADDRESS}/32": ["172.16.13.21"]},
            f"{ADDRESS}: router",
            "and not 172.16.13.11",
            "bgp-router-view",
        ),
    ],
)
def test_the_first_broken_link_is_found_and_the_check_that_mends_it(
    name: str, value: Any, link: str, text: str, check: str
) -> None:
    facts = changed(whole(), name, value)
    found = first_broken(facts)
    assert found.name == link
    assert text in found.text
    assert mend_of(facts, found)[0].startswith(check)


@pytest.mark.parametrize(
    ("name", "value", "check", "mend"),
    [
        ("cluster.daemon_sets.0.spec.template.spec.containers", [], "sp-multus-network", "helm upgrade"),
        ("node.agent.fault", "nobody answers", "node-agent", "kubectl"),
        ("node.conflist.drift", "its ipam.type is calico-ipam", "node-conflist", "spiderpool-ipam install"),
        ("cluster.spider_ip_pools.0.status", {"allocatedIPCount": 30000}, "sp-pool-full", "kubectl patch"),
        ("cluster.agent_pods", [], "sp-agents", "kubectl"),
    ],
)
def test_a_pod_that_spiderpool_gives_nothing_says_who_is_in_its_way(
    name: str, value: Any, check: str, mend: str
) -> None:
    facts = changed(waiting(whole()), name, value)
    found = first_broken(facts)
    assert (found.name, found.text) == ("SpiderIPPool", "no pool has an address for it")
    its_check, its_mend = mend_of(facts, found)
    assert its_check == check
    assert mend in its_mend


def test_what_another_node_has_is_no_reason() -> None:
    facts = changed(changed(waiting(whole()), "node.agent.fault", "nobody answers"), "node.name", "node2")
    assert mend_of(facts, first_broken(facts)) == ("", "")


def test_of_a_pod_elsewhere_the_nodes_links_are_not_known() -> None:
    found = links(changed(whole(), "node.name", "node2"))
    assert {link.name for link in found if link.state == "not-known"} == {f"{ADDRESS}: node", f"{ADDRESS}: BIRD"}
    assert "run doctor on node1 to see it" in {link.text for link in found}


@pytest.mark.parametrize("fact", ["spider_ip_pools", "namespaces", "nodes"])
def test_what_is_not_known_says_why_and_the_rest_is_told(fact: str) -> None:
    found = links(changed(whole(), f"cluster.{fact}", unknown("HTTP status 403")))
    assert (found[0].state, found[0].text) == ("not-known", "HTTP status 403")
    assert next(link.state for link in found if link.name == "SpiderEndpoint") == "ok"


def test_without_its_routes_nothing_is_known_of_the_router() -> None:
    found = links(changed(whole(), "cluster.router.routes", {}))[-1]
    assert (found.state, found.text) == ("not-known", "the routes of the router were not given")


def test_a_pod_that_is_not_there_is_none() -> None:
    assert find_pod(FactReader(whole()), "default/b") is None


def test_what_kubernetes_says_of_the_pod_is_shown_by_a_command() -> None:
    assert look_at(POD) == "kubectl -n default describe pod a"  # type: ignore[arg-type]


def test_the_checks_that_links_name_are_there() -> None:
    source = "".join(map(inspect.getsource, (address_links, pod_links, pod_way)))
    named = set(re.findall(r'"((?:node|sp|calico|felix|bgp)-[a-z-]+)"', source))
    assert len(named) > 20
    assert named <= {check.id for check in CHECKS}


def with_annotations(**annotations: str) -> Any:
    return changed(waiting(whole()), "cluster.pods.0.metadata.annotations", annotations)


@pytest.mark.parametrize(
    ("value", "state", "text"),
    [
        ('[{"interface": "eth0", "ipv4": ["v*"]}]', "ok", "v4"),
        ('[{"ipv4": ["no-such"]}]', "broken", "no pool; not no-such (there is no such pool)"),
        ('[{"ipv4": ["v4", "x"]}]', "broken", "no pool; not x (there is no such pool), and so not v4 either"),
        ('[{"ipv4": ["v6"]}]', "broken", "no pool; not v6 (it is an IPv6 pool)"),
        ('[{"ipv4": ["x*"]}]', "broken", "no pool matches"),
    ],
)
def test_the_pools_of_an_annotation_are_told_with_the_reasons(value: str, state: str, text: str) -> None:
    found = links(with_annotations(**{"ipam.spidernet.io/ippools": value}))[0]
    assert (found.state, found.text) == (state, f"IPv4 by the pod's annotation ipam.spidernet.io/ippools: {text}")


def test_the_pools_of_another_interface_are_told_where_they_have_the_pod_refused() -> None:
    value = '[{"interface": "eth0", "ipv4": ["v4"]}, {"interface": "net1", "ipv4": ["w"]}]'
    found = links(with_annotations(**{"ipam.spidernet.io/ippools": value}))
    assert [link.state for link in found[:2]] == ["ok", "broken"]
    assert found[1].text.startswith("net1: IPv4 by")


@pytest.mark.parametrize("text", ["", "{", "3", "null", "[]", "{}", '{"ipv4": 3}', "[" * 100_000])
def test_an_annotation_that_makes_no_sense_is_broken_and_says_why(text: str) -> None:
    facts = with_annotations(**{KEY: text})
    found = links(facts)[0]
    assert found.state == "broken"
    assert found.text.startswith(f"by the pod's annotation {KEY}: ")
    assert mend_of(facts, found)[0] == "sp-annotations"


def test_a_name_that_may_be_meant_is_the_mend() -> None:
    facts = with_annotations(**{KEY: '{"ipv4": ["v44"]}'})
    check, mend = mend_of(facts, first_broken(facts))
    assert check == "sp-annotations"
    assert mend.endswith("""ipam.spidernet.io/ippool={"ipv4": ["v4"]}'""")


def test_an_address_of_another_ipam_is_broken_once_and_not_for_what_doctor_does_not_read() -> None:
    facts = changed(whole(), "cluster.pods.0.status.podIPs", [{"ip": "172.25.166.129"}])
    found = {link.name: link for link in links(facts)}
    assert found["SpiderIPPool"].state == "broken"
    assert "another IPAM has given it" in found["SpiderIPPool"].text
    assert found["172.25.166.129: node"].state == "not-known"


def test_a_pool_that_was_disabled_since_is_a_warning_for_who_has_its_address() -> None:
    found = links(changed(whole(), "cluster.spider_ip_pools.0.spec.disable", True))
    assert found[0].state == "warning"
    assert found[0].text.endswith("v4 (it is disabled); so it keeps its address, and could not be started anew")
    assert {link.state for link in found[1:]} == {"ok"}


def test_a_pod_for_which_nobody_has_chosen_a_pool_has_none() -> None:
    facts = with_annotations()
    found = links(facts)[0]
    assert found.state == "broken"
    assert found.text.startswith("no annotation names one, and none is the default")
    assert mend_of(facts, found)[0] == "sp-default-pool"


def test_the_namespace_comes_before_the_default_pools() -> None:
    facts = changed(with_annotations(), "cluster.spider_ip_pools.0.spec.default", True)
    assert links(facts)[0].text == "IPv4 by default: v4"
    key = "ipam.spidernet.io/default-ipv4-ippool"
    namespace = {"metadata": {"name": "default", "annotations": {key: '["other"]'}}}
    told = links(changed(facts, "cluster.namespaces", [namespace]))[0]
    text = f"IPv4 by the namespace's annotation {key}: no pool; not other (there is no such pool)"
    assert (told.state, told.text) == ("broken", text)


def test_the_conflist_comes_between_the_namespace_and_the_default_pools() -> None:
    facts = with_annotations()
    assert "the conflist" not in links(facts)[0].text  # which is known, and names none
    conflist = {**facts["node"]["conflist"], "pools": {"default_ipv4_ippool": ["v4"], "default_ipv6_ippool": ["none"]}}
    facts = changed(facts, "node.conflist", conflist)
    v4, v6 = links(facts)[:2]
    assert (v4.state, v4.text) == ("ok", "IPv4 by the conflist's default_ipv4_ippool: v4")
    assert (v6.state, v6.text) == (
        "broken",
        "IPv6 by the conflist's default_ipv6_ippool: no pool; not none (there is no such pool)",
    )
    namespace = {"metadata": {"name": "default", "annotations": {"ipam.spidernet.io/default-ipv4-ippool": '["v4"]'}}}
    (told, *_) = links(changed(facts, "cluster.namespaces", [namespace]))
    assert "by the namespace's annotation" in told.text


def test_a_pod_of_a_spider_subnet_has_the_pools_that_spiderpool_makes() -> None:
    found = links(with_annotations(**{"ipam.spidernet.io/subnet": '{"ipv4": ["s"]}'}))[0]
    assert found.state == "ok"
    assert "those that SpiderPool makes" in found.text


def test_of_a_mesh_of_thousands_the_sessions_that_are_alike_are_one_link() -> None:
    facts: Any = changed(whole(), "cluster.bgp_configurations", [])
    others = [calico_node(f"node{number}", 0) for number in range(2, 5001)]
    for number, one in enumerate(others):
        one["metadata"]["annotations"]["projectcalico.org/IPv4Address"] = f"172.20.{number // 250}.{number % 250}/12"
    facts = changed(facts, "cluster.nodes", [calico_node("node1", 11), *others])
    router = facts["node"]["bird"]["protocols"][0]
    mesh = [{**router, "name": f"Mesh_{number}", "neighbor": f"172.20.0.{number}"} for number in range(3)]
    mesh[2]["state"] = "Active"
    found = [(link.name, link.text) for link in links(changed(facts, "node.bird.protocols", [*mesh, router]))]
    assert found[5:] == [
        (f"{ADDRESS}: export", f"to 172.20.0.0 and 4,998 more: 10.244.0.0/16 covers {ADDRESS}/32 ({COVERING})"),
        (f"{ADDRESS}: export", f"to 172.16.13.1: 10.244.0.0/16 covers {ADDRESS}/32 ({COVERING})"),
        (f"{ADDRESS}: BIRD", "Mesh_0 and 1 more are Established, and export it"),
        (f"{ADDRESS}: BIRD", "Mesh_2 is Active"),
        (f"{ADDRESS}: BIRD", "Global_172_16_13_1 is Established, and exports it"),
        (f"{ADDRESS}: router", "via 172.16.13.11"),
    ]


def test_the_cause_of_sessions_that_are_alike_is_found_by_the_first() -> None:
    facts: Any = whole()
    down = {**facts["node"]["bird"]["protocols"][0], "state": "Active"}
    facts = changed(facts, "node.bird.protocols", [{**down, "name": f"Mesh_{number}"} for number in range(2)])
    assert first_broken(facts).text == "Mesh_0 and 1 more are Active"
    assert mend_of(facts, first_broken(facts))[0] == "node-bird"
