"""Each check of SpiderPool: silent on the guide's cluster; what is found of how it is installed and set."""

import json
import shlex
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from cni.contracts.spiderpool_objects import SpiderConfig
from cni.doctor.checks import CHECKS
from cni.doctor.facts import unknown
from tests.doctor.documents import CLUSTER, agent, changed, guide, ip_pool, made, node_pod, workload

SPIDERPOOL_CHECKS = [check for check in CHECKS if check.part == "spiderpool"]
HELM = (
    "helm upgrade spiderpool spiderpool --repo https://spidernet-io.github.io/spiderpool --namespace kube-system"
    " --version 1.2.1 --reuse-values --set "
)


def cluster(**facts: Any) -> Any:
    return guide({**CLUSTER, **facts})


def found(facts: Any, check_id: str) -> list[Any]:
    return list(made(facts, check_id)["findings"])


@pytest.mark.parametrize("check", SPIDERPOOL_CHECKS, ids=lambda check: check.id)
def test_it_is_silent_on_the_guides_cluster(check: Any) -> None:
    report = made(cluster(), check.id)
    assert (report["result"], report["findings"]) == ("ok", [])


@pytest.mark.parametrize("check", SPIDERPOOL_CHECKS, ids=lambda check: check.id)
def test_it_is_not_made_where_its_facts_are_not_known(check: Any) -> None:
    for name in check.needs:
        report = made(changed(cluster(), name, unknown("HTTP status 403")), check.id)
        assert (report["result"], report.get("because")) == ("not-checked", "HTTP status 403")


@pytest.mark.parametrize("check", SPIDERPOOL_CHECKS, ids=lambda check: check.id)
def test_it_does_without_what_it_only_uses(check: Any) -> None:
    facts = cluster()
    for name in set(check.uses) - set(check.needs):
        facts = changed(facts, name, unknown("HTTP status 403"))
    assert made(facts, check.id)["result"] == "ok"


@pytest.mark.parametrize(
    ("groups", "seen"),
    [
        (["apps/v1"], "the API does not serve it"),
        (["spiderpool.spidernet.io/v1"], "the API serves spiderpool.spidernet.io/v1, and not v2beta1"),
    ],
)
def test_resources_that_are_not_served_are_found(groups: list[str], seen: str) -> None:
    (finding,) = found(cluster(api={"groups": groups, "calico": ""}), "sp-api")
    assert seen in finding["seen"]


def test_the_command_that_installs_spiderpool_sets_what_its_agents_need() -> None:
    (finding,) = found(cluster(api={"groups": [], "calico": ""}), "sp-api")
    assert "multus.multusCNI.defaultCniCRName=k8s-pod-network" in shlex.split(finding["mend"]["text"])


def test_a_node_without_an_agent_is_found() -> None:
    (finding,) = found(cluster(agent_pods=CLUSTER["agent_pods"][:1]), "sp-agents")
    assert (finding["object"], finding["seen"]) == ("Node/node2", "there is no pod of spiderpool-agent on it")


def test_an_agent_that_is_not_ready_is_told_with_its_last_words() -> None:
    status = {
        "name": "spiderpool-agent",
        "ready": False,
        "restartCount": 7,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "secret"}},
        "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "no\nAPI"}},
    }
    pod = node_pod("spiderpool-agent-2", "node2", ready=False, containerStatuses=[status])
    (finding,) = found(cluster(agent_pods=[CLUSTER["agent_pods"][0], pod]), "sp-agents")
    assert finding["seen"] == (
        "its spiderpool-agent, spiderpool-agent-2, is not Ready: Running; spiderpool-agent: CrashLoopBackOff,"
        " ended with 1 (Error), “no API”, started again 7 times"
    )


def test_an_agent_that_does_not_answer_on_this_node_is_the_cause() -> None:
    facts = changed(cluster(agent_pods=[]), "node.agent.fault", "Connection refused")
    assert [one.get("cause") for one in found(facts, "sp-agents")] == ["node-agent", None]
    assert "cause" not in found(cluster(agent_pods=[]), "sp-agents")[0]


def test_only_nodes_with_our_plugin_need_an_agent() -> None:
    facts = {"agent_pods": CLUSTER["agent_pods"][:1], "own_pods": [node_pod("a", "node1")]}
    assert found(cluster(**facts), "sp-agents") == []
    assert len(found(changed(cluster(agent_pods=[]), "node.installation", None), "sp-agents")) == 2


@pytest.mark.parametrize(
    ("deployments", "seen"),
    [
        ([], "there is none"),
        ([workload("spiderpool-controller", ready=0)], "none of its pods is Ready"),
        ([{**workload("spiderpool-controller"), "spec": {"replicas": 0}}], "it is scaled to none"),
    ],
)
def test_a_controller_that_does_not_run_is_found(deployments: list[Any], seen: str) -> None:
    report = made(cluster(deployments=deployments), "sp-controller")
    assert (report["result"], report["findings"][0]["seen"]) == ("warning", seen)


def test_a_webhook_that_nobody_serves_is_found() -> None:
    slices = [{"metadata": {"name": "x"}, "endpoints": [{"conditions": {"ready": False}}]}]
    for each in (slices, []):
        (finding,) = found(cluster(controller_endpoints=each), "sp-controller")
        assert finding["object"] == "Service/spiderpool-controller"


def test_an_agent_that_is_not_told_multus_network_is_found_with_helms_command() -> None:
    report = made(cluster(daemon_sets=[agent()]), "sp-multus-network")
    (finding,) = report["findings"]
    assert report["result"] == "failure"
    assert "is release 1.2.1" in finding["seen"]
    assert finding["mend"]["text"] == HELM + "multus.multusCNI.defaultCniCRName=k8s-pod-network"


@pytest.mark.parametrize(
    ("image", "result"),
    [
        ("ghcr.io/x/spiderpool-agent:v1.0.6", "ok"),
        ("localhost:5000/x/spiderpool-agent:v1.1.0", "failure"),
        ("x/spiderpool-agent:v1.1.0@sha256:0", "failure"),
        ("x/spiderpool-agent@sha256:0", "warning"),
    ],
)
def test_agents_before_1_1_0_need_no_network_of_multus(image: str, result: str) -> None:
    daemon_set = agent(image=image)
    daemon_set["metadata"]["labels"] = {"app.kubernetes.io/component": "spiderpool-agent"}
    assert made(cluster(daemon_sets=[daemon_set]), "sp-multus-network")["result"] == result


def test_a_value_that_comes_from_elsewhere_is_taken_for_one() -> None:
    daemon_set = agent({"name": "MULTUS_CLUSTER_NETWORK", "valueFrom": {"configMapKeyRef": {}}})
    assert found(cluster(daemon_sets=[daemon_set]), "sp-multus-network") == []
    daemon_set = agent({"name": "MULTUS_CLUSTER_NETWORK", "value": ""})
    assert len(found(cluster(daemon_sets=[daemon_set]), "sp-multus-network")) == 1


def test_a_network_that_is_not_defined_matters_where_multus_may_be() -> None:
    facts = cluster(networks=[])
    assert found(facts, "sp-multus-changed") == []  # the node has no Multus
    (finding,) = found(changed(facts, "node.multus_network", unknown("--cluster-only")), "sp-multus-changed")
    made_network = yaml.safe_load(finding["mend"]["text"])
    assert made_network["metadata"] == {"name": "k8s-pod-network", "namespace": "kube-system"}
    facts = changed(cluster(networks=[made_network]), "node.multus_network", unknown("--cluster-only"))
    assert found(facts, "sp-multus-changed") == []


@pytest.mark.parametrize(("told", "number"), [("k8s-pod-network", 0), ("kube-system/k8s-pod-network", 0), ("new", 1)])
def test_another_network_in_multus_own_file_is_found(told: str, number: int) -> None:
    findings = found(changed(cluster(), "node.multus_network", told), "sp-multus-changed")
    assert len(findings) == number
    assert [one["mend"]["text"] for one in findings] == [HELM + f"multus.multusCNI.defaultCniCRName={told}"] * number


@pytest.mark.parametrize("told", ["/etc/cni/net.d/10-calico.conflist", "/etc/cni/net.d/own"])
def test_a_multus_that_is_told_a_file_looks_no_network_up(told: str) -> None:
    assert found(changed(cluster(networks=[]), "node.multus_network", told), "sp-multus-changed") == []


def test_detection_that_is_on_is_found() -> None:
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": "enableGatewayDetection: true\nx: {}\n"}}
    (finding,) = found(cluster(spider_configs=[config]), "sp-detection")
    assert finding["mend"]["text"] == (
        f"{HELM}ipam.enableGatewayDetection=false && kubectl -n kube-system rollout restart daemonset spiderpool-agent"
    )


def test_another_config_map_of_that_name_says_nothing_of_spiderpool() -> None:
    on = {"data": {"conf.yml": {"enableGatewayDetection": True}}}
    stranger = {"metadata": {"name": "spiderpool-conf", "namespace": "a"}, **on}
    own = {"metadata": {"name": "spiderpool-conf", "namespace": "kube-system"}, "data": {"conf.yml": {}}}
    assert found(cluster(spider_configs=[stranger, own]), "sp-detection") == []
    assert len(found(cluster(spider_configs=[stranger, own | on]), "sp-detection")) == 1


NO_YAML = ["x: !!bool y", "x: !!timestamp y", "x: !!int _", "x: 2026-99-99", "{", "!!python/object:os.x {}"]


@pytest.mark.parametrize("text", ["[" * 5000, "x: " + "y" * (1 << 16), *NO_YAML])
def test_a_config_map_that_takes_yaml_too_far_is_told(text: str) -> None:
    with pytest.raises(ValidationError, match=r"conf\.yml is"):
        TypeAdapter(SpiderConfig).validate_python({"metadata": {"name": "c"}, "data": {"conf.yml": text}})


def with_garbage_collection(**env: str | None) -> Any:
    """Return the guide's cluster, with these variables of the controller; None: from elsewhere."""
    controller = workload("spiderpool-controller")
    usual = {"SPIDERPOOL_GC_IP_ENABLED": "true", "SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION": "600", **env}
    controller["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": name, "value": value} if value is not None else {"name": name, "valueFrom": {"fieldRef": {}}}
        for name, value in usual.items()
    ]
    return cluster(deployments=[controller])


@pytest.mark.parametrize(
    ("variable", "value", "mended"),
    [
        ("SPIDERPOOL_GC_IP_ENABLED", "false", "ipam.gc.enabled=true"),
        ("SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION", "7200", "ipam.gc.gcAll.intervalInSecond=600"),
        (
            "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_READY_NODE_ENABLED",
            "false",
            "ipam.gc.statelessPod.zombieOnReadyNode=true",
        ),
        (
            "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_NOT_READY_NODE_ENABLED",
            "false",
            "ipam.gc.statelessPod.zombieOnNotReadyNode=true",
        ),
    ],
)
def test_garbage_that_is_not_collected_or_seldom_is_found(variable: str, value: str, mended: str) -> None:
    assert found(with_garbage_collection(), "sp-gc") == []
    report = made(with_garbage_collection(**{variable: value}), "sp-gc")
    (finding,) = report["findings"]
    assert (report["result"], finding.get("mend", {}).get("text")) == ("warning", HELM + mended)


def test_whether_garbage_is_collected_is_not_known_where_a_config_map_says_it() -> None:
    report = made(with_garbage_collection(SPIDERPOOL_GC_IP_ENABLED=None), "sp-gc")
    assert report["result"] == "not-checked"
    assert "SPIDERPOOL_GC_IP_ENABLED comes from elsewhere" in report.get("because", "")


def coordinated(**facts: Any) -> Any:
    chain = [{"type": "coordinator", "path": "/opt/cni/bin/coordinator", "state": "executable"}]
    return changed(cluster(**facts), "node.chain", chain)


def test_a_coordinator_that_does_not_know_a_disabled_pool_is_found() -> None:
    pools = [ip_pool("p", "10.244.0.0/16", disabled=True), ip_pool("default", "172.25.0.0/16")]
    (finding,) = found(coordinated(ip_pools=pools), "sp-coordinator")
    patch = json.loads(shlex.split(finding["mend"]["text"])[-1])
    assert patch == {"spec": {"podCIDRType": "none", "hijackCIDR": ["10.244.0.0/16", "172.25.0.0/16"]}}
    newer = agent(image="x/spiderpool-agent:v1.2.3")
    assert found(coordinated(ip_pools=pools, daemon_sets=[newer]), "sp-coordinator") == []


def test_a_coordinator_that_is_not_synced_is_found_with_its_reason() -> None:
    status = {"phase": "NotReady", "reason": "no kube-controller-manager"}
    coordinators = [{"metadata": {"name": "default"}, "status": status}]
    (finding,) = found(coordinated(spider_coordinators=coordinators), "sp-coordinator")
    assert finding["seen"] == "its phase is NotReady: no kube-controller-manager"
    assert found(cluster(spider_coordinators=coordinators), "sp-coordinator") == []  # the chain has no coordinator
