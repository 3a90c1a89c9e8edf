"""Pods: an object at the API, a network namespace on a node, and the network by cnitool through Calico.

A kubelet is not there, so the order of its work is here: object, sandbox, ADD; deletion asked for, DEL, object gone.
"""

import json
from pathlib import Path
from typing import NamedTuple

from tests.lab import objects, programs
from tests.lab.node import Node
from tests.lab.processes import LabError

NETWORK = "k8s-pod-network"


class Pod(NamedTuple):
    """A pod that runs."""

    name: str
    namespace: str
    uid: str
    node: Node
    addresses: dict[int, str]  # by family, without the length

    @property
    def before(self) -> list[str]:
        """The command line that runs the one behind it in the pod."""
        return [*self.node.before, "nsenter", f"--net=/run/netns/{self.name}"]

    @property
    def routes(self) -> dict[int, str]:
        """The host routes of its addresses, by family."""
        return {family: f"{address}/{32 if family == 4 else 128}" for family, address in self.addresses.items()}


def create(node: Node, name: str, namespace: str = "default", annotations: dict[str, str] | None = None) -> Pod:
    """Have a pod run on a node. LabError: Calico's ADD did not work; its text is the pod's event.

    After that the object and the network namespace are gone again.
    """
    metadata = {
        "name": name,
        "namespace": namespace,
        "annotations": annotations or {},
        "labels": {"app": name.rsplit("-", 2)[0]},
    }
    container = {"name": "main", "image": "ghcr.io/daocloud/dao-2048:v1.2.0"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node.name, "containers": [container]},
        "status": {"phase": "Pending"},
    }
    uid = objects.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)["metadata"]["uid"]
    node.run("ip", "netns", "add", name)
    pod = Pod(name, namespace, uid, node, {})
    try:
        result = json.loads(_cnitool("add", pod))
    except LabError:
        delete(pod)
        raise
    texts = [ip["address"].partition("/")[0] for ip in result["ips"]]
    return pod._replace(addresses={6 if ":" in text else 4: text for text in texts})


def delete(pod: Pod) -> None:
    """Have a pod end as a kubelet does."""
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
    objects.request("DELETE", path, {"gracePeriodSeconds": 30})
    try:
        _cnitool("del", pod)
    finally:
        if objects.exists(path):
            objects.request("DELETE", path, {"gracePeriodSeconds": 0})
        pod.node.run("ip", "netns", "delete", pod.name)


def _cnitool(command: str, pod: Pod) -> str:
    names = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": pod.namespace,
        "K8S_POD_NAME": pod.name,
        "K8S_POD_INFRA_CONTAINER_ID": pod.uid.replace("-", ""),
        "K8S_POD_UID": pod.uid,
    }
    words = ";".join(f"{name}={value}" for name, value in names.items())
    folders = {"CNI_PATH": "/opt/cni/bin", "NETCONFPATH": "/etc/cni/net.d"}
    command_line: list[str | Path] = [programs.CNITOOL.resolve(), command, NETWORK, f"/run/netns/{pod.name}"]
    return pod.node.run(*command_line, environ={"CNI_ARGS": words, **folders})
