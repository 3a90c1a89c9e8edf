"""The pods of a DaemonSet: which node has one, and why it is not Ready. Pure."""

from collections.abc import Iterable, Mapping

from cni.contracts.api_objects import Pod
from cni.contracts.facts import Installation
from cni.contracts.workload_objects import ContainerStatus, NodePod
from cni.doctor.facts import FactReader

_CALICO_NODE = ("k8s-app", "calico-node")
# The facts that `our_nodes` reads where they are known.
USES = ("node.installation", "node.name", "cluster.own_pods")


def by_node(pods: Iterable[NodePod]) -> Mapping[str, NodePod]:
    """Return the pods by their nodes; of two on one node, the one that is Ready."""
    found: dict[str, NodePod] = {}
    for pod in pods:
        node = pod.get("spec", {}).get("nodeName", "")
        if node and (node not in found or is_ready(pod)):
            found[node] = pod
    return found


def is_ready(pod: NodePod) -> bool:
    """Tell whether a pod is Ready."""
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", [])
    )


def state(pod: NodePod) -> str:
    """Return why a pod is not Ready, in the words of its containers; "" if it is."""
    if is_ready(pod):
        return ""
    status = pod.get("status", {})
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    words = [said for one in containers if not one.get("ready") and (said := _state(one))]
    return "; ".join([status.get("reason") or status.get("phase", "it has no status"), *words])


def _state(container: ContainerStatus) -> str:
    now, before = container.get("state", {}), container.get("lastState", {})
    ended = now.get("terminated") or before.get("terminated")
    words = [now["waiting"]["reason"]] if now.get("waiting", {}).get("reason") else []
    if ended:
        words.append(f"ended with {ended.get('exitCode', '?')} ({ended.get('reason', 'no reason told')})")
        words += [f"“{ended['message']}”"] if ended.get("message") else []
    if container.get("restartCount"):
        words.append(f"started again {container['restartCount']} times")
    return f"{container['name']}: {', '.join(words)}" if words else ""


def our_nodes(facts: FactReader) -> set[str]:
    """Return the names of the nodes that are known to have our plugin."""
    pods: list[NodePod] = facts.value_or("cluster.own_pods", [])
    found = set(by_node(pods))
    installation: Installation | None = facts.value_or("node.installation", None)
    if installation and installation["state"] == "in force":
        found |= {facts.value_or("node.name", "")} - {""}
    return found


def calico_nodes(pods: Iterable[Pod]) -> set[str]:
    """Return the names of the nodes that have a pod of calico-node."""
    key, value = _CALICO_NODE
    found = (
        pod.get("spec", {}).get("nodeName", "") for pod in pods if pod["metadata"].get("labels", {}).get(key) == value
    )
    return set(found) - {""}
