"""Checks of what SpiderPool consists of: its resources, its agents, its controller. Pure."""

from collections.abc import Iterator

from cni.contracts.api_objects import Node
from cni.contracts.facts import Agent, Api
from cni.contracts.workload_objects import EndpointSlice, NodePod, Workload
from cni.doctor import node_pods, spiderpool_release
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.spiderpool_release import CONTROLLER

_GROUP = "spiderpool.spidernet.io"
_VERSION = "v2beta1"


def _find_api(facts: FactReader) -> Iterator[Finding]:
    api: Api = facts.value("cluster.api")
    if f"{_GROUP}/{_VERSION}" in api["groups"]:
        return
    others = [name for name in api["groups"] if name.startswith(f"{_GROUP}/")]
    if others:
        yield Finding(_GROUP, f"the API serves {', '.join(others)}, and not {_VERSION}: SpiderPool is too old")
    else:
        yield Finding(_GROUP, "the API does not serve it", spiderpool_release.INSTALL)


def _find_agents(facts: FactReader) -> Iterator[Finding]:
    pods: list[NodePod] = facts.value("cluster.agent_pods")
    nodes: list[Node] = facts.value("cluster.nodes")
    names = {node["metadata"]["name"] for node in nodes}
    ours = node_pods.our_nodes(facts)
    found = node_pods.by_node(pods)
    agent: Agent | None = facts.value_or("node.agent", None)
    dead = facts.value_or("node.name", "") if agent and agent["fault"] else ""
    for name in sorted(ours & names or names):
        pod, cause = found.get(name), "node-agent" if name == dead else ""
        if pod is None:
            seen = "there is no pod of spiderpool-agent on it"
            yield Finding(f"Node/{name}", seen, _look(facts, name), cause=cause)
        elif state := node_pods.state(pod):
            metadata = pod["metadata"]
            said = command("kubectl -n {} describe pod {}", metadata.get("namespace", ""), metadata["name"])
            seen = f"its spiderpool-agent, {metadata['name']}, is not Ready: {state}"
            yield Finding(f"Node/{name}", seen, said, cause=cause)


def _look(facts: FactReader, node: str) -> Mend:
    namespace = spiderpool_release.helm(facts).namespace
    return command("kubectl -n {} describe daemonset spiderpool-agent; kubectl describe node {}", namespace, node)


def _find_controller(facts: FactReader) -> Iterator[Finding]:
    deployments: list[Workload] = facts.value("cluster.deployments")
    controller = spiderpool_release.component(deployments, CONTROLLER)
    if controller is None:
        yield Finding(f"Deployment/{CONTROLLER}", "there is none")
        return
    metadata = controller["metadata"]
    namespace = metadata.get("namespace", "")
    name = f"Deployment/{namespace}/{metadata['name']}"
    if not controller.get("spec", {}).get("replicas", 1):
        mend = command("kubectl -n {} scale deployment {} --replicas=1", namespace, metadata["name"])
        yield Finding(name, "it is scaled to none", mend)
    elif not controller.get("status", {}).get("readyReplicas", 0):
        mend = command("kubectl -n {} describe deployment {}", namespace, metadata["name"])
        yield Finding(name, "none of its pods is Ready", mend)
    elif not _has_endpoint(facts):
        mend = command("kubectl -n {} get endpointslices,service {}", namespace, CONTROLLER)
        yield Finding(f"Service/{CONTROLLER}", "its pods are Ready, and the service of its webhook has none", mend)


def _has_endpoint(facts: FactReader) -> bool:
    slices: list[EndpointSlice] | None = facts.value_or("cluster.controller_endpoints", None)
    if slices is None:
        return True
    endpoints = [one for each in slices for one in each.get("endpoints", [])]
    return any(one.get("conditions", {}).get("ready") is not False for one in endpoints)


CHECKS = (
    Check(
        id="sp-api",
        part="spiderpool",
        severity="failure",
        looks_at="whether the API serves SpiderPool's resources",
        why="Without them there are no pools, and no agent that gives addresses out of them.",
        to_do="Install SpiderPool with helm. Releases before 0.4 have other resources: upgrade them.",
        needs=("cluster.api",),
        find=_find_api,
        before_install=True,
        waits=True,
    ),
    Check(
        id="sp-agents",
        part="spiderpool",
        severity="failure",
        looks_at="a Ready pod of spiderpool-agent on every node that has our plugin, or else on every node",
        why="On a node without its agent no pod gets an address, and none is given back.",
        to_do=(
            "See what keeps the pod from running: taints of the node that the DaemonSet does not tolerate, a"
            " nodeSelector, an image that cannot be pulled, or what the agent said when it ended."
        ),
        needs=("cluster.agent_pods", "cluster.nodes"),
        uses=(*node_pods.USES, "node.agent", "cluster.daemon_sets"),
        find=_find_agents,
        before_install=True,
        waits=True,
    ),
    Check(
        id="sp-controller",
        part="spiderpool",
        severity="warning",
        looks_at="the Deployment of spiderpool-controller, and the endpoints of its webhook",
        why=(
            "Without the controller, pools cannot be changed, since the API asks its webhook, and addresses of pods"
            " that are gone stay taken."
        ),
        to_do="See why its pods do not run: what they wait for, and what they said when they ended.",
        needs=("cluster.deployments",),
        uses=("cluster.controller_endpoints",),
        find=_find_controller,
        waits=True,
    ),
)
