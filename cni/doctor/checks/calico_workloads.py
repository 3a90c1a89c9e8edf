"""Checks of Calico's workloads, of ours beside them, and of what pods ask of Calico's IPAM. Pure."""

from collections.abc import Iterator

from cni.contracts.api_objects import Node, Pod
from cni.contracts.workload_objects import NodePod, Workload
from cni.doctor import node_pods, subjects
from cni.doctor.check import Check, Finding, command
from cni.doctor.checks.bgp_nodes import names_of
from cni.doctor.facts import FactReader

_PREFIX = "cni.projectcalico.org/"
_FAILING = (f"{_PREFIX}ipAddrs", f"{_PREFIX}ipAddrsNoIpam")
_IGNORED = (f"{_PREFIX}ipv4pools", f"{_PREFIX}ipv6pools")
_CONTROLLERS = "calico-kube-controllers"
_OURS = "spiderpool-ipam"
_LONGEST = 100  # characters of an annotation in a finding
_TOLERATE_ALL = '{"spec":{"template":{"spec":{"tolerations":[{"operator":"Exists"}]}}}}'


def _find_annotations(facts: FactReader) -> Iterator[Finding]:
    seen = set()
    for subject in subjects.all_subjects(facts):
        for key in (*_FAILING, *_IGNORED):
            value = subject.annotations.get(key)
            if value is None or (subject.namespace, key, value) in seen:  # a template comes before its pods
                continue
            seen.add((subject.namespace, key, value))
            mend = subjects.annotate(subject, key, None)
            told = f"{key} is {value[:_LONGEST]}"
            if key in _FAILING:
                yield Finding(subject.object, f"{told}: Calico's plugin fails the ADD", mend)
            else:
                yield Finding(subject.object, f"{told}, which nobody follows", mend, severity="warning")


def _find_controllers(facts: FactReader) -> Iterator[Finding]:
    deployments: list[Workload] = facts.value("cluster.deployments")
    for deployment in deployments:
        metadata = deployment["metadata"]
        if metadata["name"] == _CONTROLLERS and not deployment.get("status", {}).get("readyReplicas", 0):
            mend = command("kubectl -n {} describe deployment {}", metadata.get("namespace", ""), _CONTROLLERS)
            yield Finding(
                f"Deployment/{metadata.get('namespace', '')}/{_CONTROLLERS}", "none of its pods is Ready", mend
            )


def _find_daemon_set(facts: FactReader) -> Iterator[Finding]:
    daemon_sets: list[Workload] = facts.value("cluster.daemon_sets")
    ours = [one for one in daemon_sets if one["metadata"]["name"] == _OURS]
    if not ours:
        return  # the nodes are installed in another way
    own_pods: list[NodePod] = facts.value("cluster.own_pods")
    pods: list[Pod] = facts.value("cluster.pods")
    namespace = ours[0]["metadata"].get("namespace", "")
    found = node_pods.by_node(own_pods)
    without = node_pods.calico_nodes(pods) - found.keys()
    if left_out := sorted(without & _left_out(facts, ours[0])):
        seen = f"its nodeSelector leaves out nodes with calico-node: {names_of(left_out)}"
        yield Finding(f"DaemonSet/{namespace}/{_OURS}", seen, severity="information")
    for node in sorted(without - set(left_out)):
        tolerate = command("kubectl -n {} patch daemonset {} --type=merge -p {}", namespace, _OURS, _TOLERATE_ALL)
        yield Finding(f"Node/{node}", f"calico-node runs on it, and no pod of DaemonSet/{_OURS}", tolerate)
    for node, pod in sorted(found.items()):
        if state := node_pods.state(pod):
            name = pod["metadata"]["name"]
            mend = command("kubectl -n {} logs {} --all-containers", namespace, name)
            yield Finding(f"Node/{node}", f"{name} is not Ready: {state}", mend)


def _left_out(facts: FactReader, daemon_set: Workload) -> set[str]:
    """Return the nodes that a DaemonSet does not select, such as those that are not in its canary."""
    selector = daemon_set.get("spec", {}).get("template", {}).get("spec", {}).get("nodeSelector", {})
    nodes: list[Node] = facts.value_or("cluster.nodes", [])
    labels = {node["metadata"]["name"]: node["metadata"].get("labels", {}) for node in nodes}
    return {name for name, own in labels.items() if not selector.items() <= own.items()}


CHECKS = (
    Check(
        id="calico-annotations",
        part="calico",
        severity="failure",
        looks_at="the annotations of pods and templates by which Calico's own IPAM is asked for addresses",
        why=(
            "With another IPAM, Calico's plugin refuses a pod that has ipAddrs or ipAddrsNoIpam: it does not start. It"
            " does not look at ipv4pools and ipv6pools, so the pod has an address of another pool than was meant."
        ),
        to_do="Remove them, and name a pool of SpiderPool's in the annotation `ipam.spidernet.io/ippool`.",
        needs=subjects.NEEDS,
        uses=subjects.USES,
        find=_find_annotations,
        waits=True,
    ),
    Check(
        id="calico-kube-controllers",
        part="calico",
        severity="warning",
        looks_at="the Deployment calico-kube-controllers",
        why="Without it, nobody frees the addresses and blocks that calico-ipam gave before the nodes were swapped.",
        to_do="See why its pods do not run.",
        needs=("cluster.deployments",),
        find=_find_controllers,
        waits=True,
    ),
    Check(
        id="ipam-daemonset",
        part="calico",
        severity="failure",
        looks_at="a Ready pod of our DaemonSet on every node that has calico-node, if the DaemonSet is there",
        why="On a node without it, nobody installs the plugin, or keeps it and the conflist as they were installed.",
        to_do=(
            "Give the DaemonSet the tolerations that calico-node has, and see what its pods say. If its nodeSelector"
            " leaves nodes out, as in a canary, widen it when these nodes are to have the plugin too."
        ),
        needs=("cluster.daemon_sets", "cluster.own_pods", "cluster.pods"),
        uses=("cluster.nodes",),
        find=_find_daemon_set,
        waits=True,
    ),
)
