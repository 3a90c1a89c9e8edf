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
    def container(self) -> str:
        """The ID of its sandbox."""
        return self.uid.replace("-", "")

    @property
    def routes(self) -> dict[int, str]:
        """The host routes of its addresses, by family."""
        return {family: f"{address}/{32 if family == 4 else 128}" for family, address in self.addresses.items()}


def create(node: Node, name: str, namespace: str = "default", annotations: dict[str, str] | None = None) -> Pod:
    """Have a pod run on a node. LabError: Calico's ADD did not work; its text is the pod's event.

    After that the object and the network namespace are gone again.
    """
    pod = declare(node, name, namespace, annotations)
    try:
        return with_addresses(pod, _cnitool("add", pod))
    except LabError:
        delete(pod)
        raise


def delete(pod: Pod) -> None:
    """Have a pod end as a kubelet does."""
    terminate(pod)
    try:
        _cnitool("del", pod)
    finally:
        forget(pod)


def declare(node: Node, name: str, namespace: str = "default", annotations: dict[str, str] | None = None) -> Pod:
    """Make a pod's object and its network namespace, which has no network yet."""
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
    return Pod(name, namespace, uid, node, {})


def with_addresses(pod: Pod, printed: str) -> Pod:
    """Return a pod with the addresses of the result that its ADD has printed."""
    texts = [ip["address"].partition("/")[0] for ip in json.loads(printed)["ips"]]
    return pod._replace(addresses={6 if ":" in text else 4: text for text in texts})


def terminate(pod: Pod) -> None:
    """Ask for a pod's deletion, and leave it its time to end."""
    objects.request("DELETE", _path(pod), {"gracePeriodSeconds": 30})


def forget(pod: Pod) -> None:
    """Remove a pod's object and its network namespace."""
    if objects.exists(_path(pod)):
        objects.request("DELETE", _path(pod), {"gracePeriodSeconds": 0})
    pod.node.run("ip", "netns", "delete", pod.name)


def cni_args(pod: Pod) -> str:
    """Return what a runtime tells plugins of a pod in CNI_ARGS."""
    names = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": pod.namespace,
        "K8S_POD_NAME": pod.name,
        "K8S_POD_INFRA_CONTAINER_ID": pod.container,
        "K8S_POD_UID": pod.uid,
    }
    return ";".join(f"{name}={value}" for name, value in names.items())


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _cnitool(command: str, pod: Pod) -> str:
    folders = {"CNI_PATH": "/opt/cni/bin", "NETCONFPATH": "/etc/cni/net.d"}
    command_line: list[str | Path] = [programs.CNITOOL.resolve(), command, NETWORK, f"/run/netns/{pod.name}"]
    return pod.node.run(*command_line, environ={"CNI_ARGS": cni_args(pod), **folders})
