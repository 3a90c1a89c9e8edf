"""What the API has of SpiderPool's programs: the workloads of its chart, and the pods of the agents.

The programs themselves run beside that, because no controller makes pods here, and no kubelet runs them. So the pods'
objects say what a kubelet would. Side effects: writes objects.
"""

from tests.lab import objects
from tests.lab.objects import Object

_NAMESPACE = "kube-system"
_AGENT, _CONTROLLER = "spiderpool-agent", "spiderpool-controller"
_CORE, _APPS = f"/api/v1/namespaces/{_NAMESPACE}", f"/apis/apps/v1/namespaces/{_NAMESPACE}"
_PLACES = {
    ("DaemonSet", _AGENT): f"{_APPS}/daemonsets",
    ("Deployment", _CONTROLLER): f"{_APPS}/deployments",
    ("ConfigMap", "spiderpool-conf"): f"{_CORE}/configmaps",
}
_SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{_NAMESPACE}/endpointslices"
_MERGE = "application/merge-patch+json"


def apply(rendered: list[Object]) -> None:
    """Make the chart's workloads, or change them to what is rendered now."""
    for one in rendered:
        name = one["metadata"]["name"]
        if place := _PLACES.get((one["kind"], name)):
            body = {**one, "spec": _modest(one["spec"])} if "spec" in one else one
            if objects.exists(f"{place}/{name}"):
                objects.request("PATCH", f"{place}/{name}", body, _MERGE)
            else:
                objects.request("POST", place, body)


def _modest(spec: Object) -> Object:
    """Return what matters of a workload's spec. The rest asks for rights that an API server may refuse to give."""
    template = spec["template"]
    containers = [
        {key: one[key] for key in ("name", "image", "env") if key in one} for one in template["spec"]["containers"]
    ]
    pod = {"hostNetwork": template["spec"].get("hostNetwork", False), "containers": containers}
    return {**spec, "template": {"metadata": template["metadata"], "spec": pod}}


def report_controller(address: str) -> None:
    """Say that the controller is Ready, and that its service has it."""
    status = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    objects.request("PATCH", f"{_APPS}/deployments/{_CONTROLLER}/status", {"status": status}, _MERGE)
    labels = {"kubernetes.io/service-name": _CONTROLLER}
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{_CONTROLLER}-1", "namespace": _NAMESPACE, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }
    objects.request("POST", _SLICES, body)


def has_agent(node: str) -> bool:
    """Tell whether the pod of a node's agent is there."""
    return objects.exists(_agent(node))


def report_agent(node: str) -> None:
    """Say that a node's agent runs, and is Ready: make its pod, if it is not there."""
    path = _agent(node)
    if not objects.exists(path):
        (workload,) = (one for one in objects.listed(f"{_APPS}/daemonsets") if one["metadata"]["name"] == _AGENT)
        # No kubelet ends it, so it ends at once when it is deleted.
        own = {"nodeName": node, "hostNetwork": True, "terminationGracePeriodSeconds": 0}
        containers = [
            {"name": one["name"], "image": one["image"]}
            for one in workload["spec"]["template"]["spec"]["containers"]
            if one["name"] == _AGENT
        ]
        metadata = {
            "name": path.rpartition("/")[2],
            "namespace": _NAMESPACE,
            "labels": workload["spec"]["template"]["metadata"]["labels"],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**own, "containers": containers}}
        objects.request("POST", path.rpartition("/")[0], body)
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    objects.request("PATCH", f"{path}/status", {"status": status}, _MERGE)


def _agent(node: str) -> str:
    return f"{_CORE}/pods/{_AGENT}-{node}"
