"""What goes on a node while it runs, and Calico's and our workloads."""

import json
import shlex
from typing import Any

import pytest

from cni.doctor.facts import unknown
from tests.doctor.documents import CLUSTER, changed, guide, made, node_pod, workload

SOCKET = "/var/run/spidernet/spiderpool.sock"
OF_ANOTHER = "/var/run/another.sock"


def found(facts: Any, check_id: str) -> list[Any]:
    return list(made(facts, check_id)["findings"])


@pytest.mark.parametrize(("coordinator", "is_very_old"), [(200, False), (404, True)])
def test_an_agent_that_does_not_tell_what_a_pod_holds_is_told_of(coordinator: int, is_very_old: bool) -> None:
    operations = {"socket": SOCKET, "workload_endpoint": 501, "coordinator_config": coordinator}
    report = made(changed(guide(), "node.agent_operations", operations), "node-agent-generation")
    assert (report["result"], report["findings"][0]["severity"]) == ("ok", "information")
    assert ("It is of 0.5.1 or before" in report["findings"][0]["seen"]) is is_very_old


def pending(agent: str, oldest: float, socket: str = SOCKET) -> Any:
    facts = changed(guide(), "node.pending", [{"socket": socket, "agent": agent, "releases": 2, "oldest": oldest}])
    facts["collected_at"] = 1000.0
    return facts


@pytest.mark.parametrize(
    ("agent", "socket", "mend", "cause"),
    [
        ("absent", OF_ANOTHER, f"spiderpool-ipam pending --drop {OF_ANOTHER}", None),
        ("absent", SOCKET, None, "node-agent"),
        ("absent", SOCKET.removeprefix("/var"), None, "node-agent"),
        ("silent", SOCKET, None, "node-agent"),
        ("embedded", SOCKET, None, None),
        ("real", SOCKET, None, None),
    ],
)
def test_releases_that_wait_for_long_are_found(agent: str, socket: str, mend: str | None, cause: str | None) -> None:
    (finding,) = found(pending(agent, 100.0, socket), "node-pending")
    assert finding["seen"].startswith("2 releases wait, the oldest for 15 minutes: ")
    assert (finding.get("mend", {}).get("text"), finding.get("cause")) == (mend, cause)
    assert found(pending(agent, 500.0), "node-pending") == []


def test_none_is_dropped_where_it_is_not_known_whose_they_are() -> None:
    unread = changed(pending("absent", 100.0, OF_ANOTHER), "node.agent", unknown("not mounted"))
    assert "mend" not in found(unread, "node-pending")[0]


MONTH = 30 * 86400.0


@pytest.mark.parametrize(
    ("drifts", "later", "number"),
    [
        ([], 60, 0),
        ([0, 600, 1200], 60, 0),
        ([0, 1200, 2400, 3601], 60, 0),
        ([0, 600, 1200, 1800], 60, 1),
        ([0, 600, 1200, 1800], 86401, 0),
    ],
)
@pytest.mark.parametrize("as_name", ["", "05-spiderpool-calico.conflist"])
def test_who_fights_watch_more_than_three_times_an_hour_is_found(
    drifts: list[float], later: float, number: int, as_name: str
) -> None:
    facts = changed(guide(), "node.installation.drifts", [MONTH + one for one in drifts])
    facts = changed(facts, "node.installation.left", "its ipam.type was calico-ipam")
    facts = changed(facts, "node.installation.as_name", as_name)
    facts["collected_at"] = MONTH + max(drifts, default=0) + later
    findings = found(facts, "node-conflist-fighting")
    assert len(findings) == number
    for one in findings:
        assert one["seen"] == (
            "others have changed it 4 times within 30 min, the last time at 1970-01-31 00:30:00 UTC, when its ipam.type"
            " was calico-ipam; each time it was swapped again"
        )
        assert ("mend" in one) == (not as_name)


def annotated(key: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "default", "annotations": {key: '["10.0.0.1"]'}, **metadata}}


@pytest.mark.parametrize(
    ("key", "result"),
    [("ipAddrs", "failure"), ("ipAddrsNoIpam", "failure"), ("ipv4pools", "warning"), ("ipv6pools", "warning")],
)
def test_annotations_for_calicos_own_ipam_are_found_and_removed(key: str, result: str) -> None:
    key = f"cni.projectcalico.org/{key}"
    report = made(guide({**CLUSTER, "pods": [annotated(key)]}), "calico-annotations")
    (finding,) = report["findings"]
    assert report["result"] == result
    assert shlex.split(finding["mend"]["text"]) == ["kubectl", "-n", "default", "annotate", "pod", "a", f"{key}-"]


def test_of_a_template_the_annotation_is_removed_by_a_patch() -> None:
    key = "cni.projectcalico.org/ipAddrs"
    template = workload("web", annotations={key: '["10.0.0.1"]'})
    template["metadata"]["namespace"] = "default"
    (finding,) = found(guide({**CLUSTER, "pods": [annotated(key)], "stateful_sets": [template]}), "calico-annotations")
    assert finding["object"] == "StatefulSet/default/web"
    patch = json.loads(shlex.split(finding["mend"]["text"])[-1])
    assert patch["spec"]["template"]["metadata"]["annotations"] == {key: None}


def test_controllers_of_calicos_that_do_not_run_are_found() -> None:
    facts = guide({**CLUSTER, "deployments": [workload("calico-kube-controllers", ready=0)]})
    assert made(facts, "calico-kube-controllers")["result"] == "warning"
    assert found(guide({**CLUSTER, "deployments": []}), "calico-kube-controllers") == []


def calico_pod(node: str) -> dict[str, Any]:
    return {"metadata": {"name": node, "labels": {"k8s-app": "calico-node"}}, "spec": {"nodeName": node}}


def test_a_node_with_calico_and_without_our_pod_is_found() -> None:
    facts = guide({**CLUSTER, "pods": [calico_pod(f"node{number}") for number in (1, 2, 3)]})
    (finding,) = found(facts, "ipam-daemonset")
    assert finding["object"] == "Node/node3"
    tolerations = json.loads(shlex.split(finding["mend"]["text"])[-1])["spec"]["template"]["spec"]["tolerations"]
    assert tolerations == [{"operator": "Exists"}]
    assert found(guide({**CLUSTER, "pods": [calico_pod("node3")], "daemon_sets": []}), "ipam-daemonset") == []


def test_nodes_that_the_daemon_set_is_not_meant_for_are_told_once_and_are_no_failure() -> None:
    nodes = [
        {"metadata": {"name": f"node{number}", "labels": {"canary": "yes"} if number < 3 else {}}}
        for number in range(9)
    ]
    canary = workload("spiderpool-ipam")
    canary["spec"] = {"template": {"spec": {"nodeSelector": {"canary": "yes"}}}}
    pods = [node_pod("a", "node0"), node_pod("b", "node1")]
    facts = {"pods": [calico_pod(f"node{number}") for number in range(9)], "own_pods": pods}
    report = guide({**CLUSTER, **facts, "nodes": nodes, "daemon_sets": [canary]})
    missing, left_out = sorted(found(report, "ipam-daemonset"), key=lambda finding: finding["object"], reverse=True)
    assert missing["object"] == "Node/node2"
    assert left_out["seen"] == "its nodeSelector leaves out nodes with calico-node: node3, node4, node5 and 3 more"
    ready = guide(
        {**CLUSTER, **facts, "own_pods": [*pods, node_pod("c", "node2")], "nodes": nodes, "daemon_sets": [canary]}
    )
    assert made(ready, "ipam-daemonset")["result"] == "ok"


def test_a_pod_of_ours_that_is_not_ready_tells_why() -> None:
    ended = {"reason": "Error", "exitCode": 1, "message": "no healthy spiderpool-agent"}
    status = {"name": "install", "state": {"terminated": ended}}
    pods = [CLUSTER["own_pods"][0], node_pod("b", "node2", ready=False, initContainerStatuses=[status])]
    (finding,) = found(guide({**CLUSTER, "own_pods": pods}), "ipam-daemonset")
    assert finding["seen"].endswith("install: ended with 1 (Error), “no healthy spiderpool-agent”")
