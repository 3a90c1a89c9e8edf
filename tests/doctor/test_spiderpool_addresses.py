"""Single addresses of SpiderPool's: leaked ones, those that two have, and those that it has not given."""

import json
from typing import Any

import pytest

from cni.doctor.checks.spiderpool_addresses import seconds
from tests.doctor.documents import CLUSTER, changed, guide, made, node_pod, spider_pool, workload

ADDRESS = "10.244.100.1"
EARLY, LATE = "1970-01-01T00:00:10Z", "1970-01-01T01:00:00Z"  # 10 s and 3600 s of Unix time
NOW = 4000.0
RESTART = "kubectl -n kube-system rollout restart deployment spiderpool-controller"


def pool(*records: tuple[str, str, str], name: str = "v4") -> dict[str, Any]:
    text = json.dumps({address: {"pod": pod, "podUid": uid} for address, pod, uid in records})
    return {**spider_pool(name, "10.244.0.0/16", "10.244.100.0-10.244.100.9"), "status": {"allocatedIPs": text}}


def pod(name: str = "a", *addresses: str, node: str = "node1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": EARLY,
            **metadata,
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]},
    }


def endpoint(owner: str = "Deployment", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "a", "namespace": "default", "creationTimestamp": EARLY, **metadata},
        "status": {"current": {"uid": "uid-a"}, "ownerControllerType": owner},
    }


def found(check_id: str, **facts: Any) -> list[Any]:
    document = guide({**CLUSTER, "spider_ip_pools": [pool((ADDRESS, "default/a", "uid-a"))], **facts})
    document["collected_at"] = NOW
    return list(made(document, check_id)["findings"])


def test_an_address_of_a_pod_that_is_there_is_not_leaked() -> None:
    assert found("sp-leaked", pods=[pod()]) == []


def test_an_address_of_a_pod_that_is_gone_is_leaked() -> None:
    (finding,) = found("sp-leaked", spider_endpoints=[endpoint()])
    assert finding["severity"] == "warning"
    assert finding["object"] == f"SpiderIPPool/v4 {ADDRESS}"
    assert finding["seen"] == "it is taken for the pod default/a, which is gone"
    assert finding["mend"]["text"] == RESTART


def test_two_rounds_of_collection_are_waited_for() -> None:
    assert found("sp-leaked", spider_endpoints=[endpoint(deletionTimestamp=LATE)]) == []
    assert found("sp-leaked", pods=[pod(uid="new", creationTimestamp=LATE)]) == []


def test_rounds_are_as_far_apart_as_the_controller_is_told() -> None:
    controller = workload("spiderpool-controller")
    variable = {"name": "SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION", "value": "600"}
    controller["spec"]["template"]["spec"]["containers"][0]["env"] = [variable]
    facts = {"spider_endpoints": [endpoint()], "deployments": [controller]}
    assert len(found("sp-leaked", **facts)) == 1
    variable["value"] = "3600"
    assert found("sp-leaked", **facts) == []


def test_that_nobody_knows_since_when_is_no_warning() -> None:
    (finding,) = found("sp-leaked")
    assert (finding["severity"], "since when is not known" in finding["seen"]) == ("information", True)


def test_addresses_that_wait_for_their_pods_are_not_leaked() -> None:
    assert found("sp-leaked", spider_endpoints=[endpoint("StatefulSet")]) == []


def test_an_address_of_an_earlier_pod_of_the_name_is_leaked() -> None:
    (finding,) = found("sp-leaked", pods=[pod(uid="new")])
    assert "an earlier pod of the name default/a, of the UID uid-a" in finding["seen"]


def test_a_pod_that_does_not_end_on_a_node_that_is_gone_keeps_its_address() -> None:
    nodes = [{"metadata": {"name": "node1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}]
    (finding,) = found("sp-leaked", pods=[pod(deletionTimestamp=EARLY)], nodes=nodes)
    assert "does not end, since Node/node1 is not Ready" in finding["seen"]
    ready = [{"metadata": {"name": "node1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}]
    assert found("sp-leaked", pods=[pod(deletionTimestamp=EARLY)], nodes=ready) == []


@pytest.mark.parametrize("text", ["{", '{"x": 1}', '{"nonsense": {"pod": "a"}}'])
def test_records_that_cannot_be_read_are_left_out(text: str) -> None:
    damaged = {**spider_pool("v4", "10.244.0.0/16"), "status": {"allocatedIPs": text}}
    assert found("sp-leaked", spider_ip_pools=[damaged]) == []


def test_of_two_pods_with_one_address_the_one_without_a_record_goes() -> None:
    (finding,) = found("sp-duplicates", pods=[pod("b", ADDRESS), pod("a", ADDRESS)])
    assert (finding["object"], finding["seen"]) == (ADDRESS, "Pod/default/b and Pod/default/a have it")
    assert finding["mend"]["text"] == "kubectl -n default delete pod b"


def test_pods_that_have_ended_or_have_the_nodes_network_do_not_count() -> None:
    ended = {**pod("b", ADDRESS), "status": {"phase": "Succeeded", "podIPs": [{"ip": ADDRESS}]}}
    on_host = {**pod("c", ADDRESS), "spec": {"hostNetwork": True}}
    assert found("sp-duplicates", pods=[pod("a", ADDRESS), ended, on_host]) == []


def test_a_pod_with_a_nodes_address_is_found() -> None:
    nodes = [{"metadata": {"name": "node1"}, "status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]}}]
    (finding,) = found("sp-duplicates", pods=[pod("a", ADDRESS)], nodes=nodes)
    assert finding["seen"] == "Pod/default/a and Node/node1 have it"


def test_an_address_that_calico_ipam_has_given_too_comes_of_its_block() -> None:
    block = {
        "metadata": {"name": "10-244-100-0-26"},
        "spec": {"cidr": "10.244.100.0/26", "allocations": [None, 0, None], "attributes": [{}]},
    }
    (finding,) = found("sp-duplicates", pods=[pod("a", ADDRESS)], ip_blocks=[block])
    assert finding.get("cause") == "calico-blocks"
    assert "calico-ipam has it taken in IPAMBlock/10-244-100-0-26" in finding["seen"]


ANNOTATED: Any = {"annotations": {"ipam.spidernet.io/ippool": '{"ipv4": ["v4"]}'}}


def test_an_annotated_pod_with_another_address_is_found() -> None:
    (finding,) = found("sp-wrong-address", pods=[pod("a", "172.25.0.9", **ANNOTATED)])
    assert finding["seen"] == (
        "it has the annotation ipam.spidernet.io/ippool, and its 172.25.0.9 is in no SpiderIPPool"
    )
    assert finding["mend"]["text"] == "kubectl -n default delete pod a"
    assert found("sp-wrong-address", pods=[pod("a", ADDRESS, **ANNOTATED), pod("b", **ANNOTATED)]) == []


def test_while_the_conflist_is_undone_a_pod_of_this_node_is_not_made_anew() -> None:
    document = guide(
        {**CLUSTER, "pods": [pod("a", "172.25.0.9", **ANNOTATED), pod("b", "172.25.0.9", node="node2", **ANNOTATED)]}
    )
    here, there = made(changed(document, "node.conflist.drift", "ipam.type is calico-ipam"), "sp-wrong-address")[
        "findings"
    ]
    assert ("mend" in here, here.get("cause")) == (False, "node-conflist")
    assert ("mend" in there, there.get("cause")) == (True, None)


def test_an_address_that_was_given_before_the_pool_was_made_smaller_is_right() -> None:
    pools = [pool(("10.244.200.1", "default/a", "uid-a"))]
    assert found("sp-wrong-address", pods=[pod("a", "10.244.200.1", **ANNOTATED)], spider_ip_pools=pools) == []


def test_a_pod_that_was_made_after_its_node_was_swapped_has_an_address_of_spiderpools() -> None:
    facts = {"own_pods": [node_pod("x", "node2")]}
    old = pod("a", "172.25.0.9", node="node2")
    new = pod("b", "172.25.0.10", node="node2", creationTimestamp=LATE)
    (finding,) = found("sp-wrong-address", pods=[old, new], **facts)
    assert finding["object"] == "Pod/default/b"
    assert "it was made after Node/node2 was swapped" in finding["seen"]
    elsewhere = pod("c", "172.25.0.11", node="node2", creationTimestamp=LATE)
    elsewhere["metadata"]["annotations"] = {"v1.multus-cni.io/default-network": "x"}
    assert found("sp-wrong-address", pods=[elsewhere], **facts) == []


def test_on_this_node_the_record_of_install_tells_since_when() -> None:
    new = pod("b", "172.25.0.10")
    document = guide({**CLUSTER, "pods": [new], "own_pods": []})
    assert len(made(document, "sp-wrong-address")["findings"]) == 1
    assert made(changed(document, "node.installation.swapped_at", 20.0), "sp-wrong-address")["findings"] == []


def test_what_is_no_timestamp_is_the_beginning_of_time() -> None:
    assert [seconds(EARLY), seconds("yesterday"), seconds("")] == [10, 0, 0]
