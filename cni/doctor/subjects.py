"""Pods, and the templates that pods are made of, as far as their annotations go. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cni.contracts.api_objects import Pod
from cni.contracts.workload_objects import Workload
from cni.doctor.check import Mend, command
from cni.doctor.facts import FactReader

# The facts that `all_subjects` reads. Templates are looked at where they are known.
NEEDS = ("cluster.pods",)
USES = ("cluster.deployments", "cluster.stateful_sets", "cluster.daemon_sets")
_WORKLOADS = {
    "Deployment": "cluster.deployments",
    "StatefulSet": "cluster.stateful_sets",
    "DaemonSet": "cluster.daemon_sets",
}
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Subject:
    """A pod, or the pods of a template."""

    kind: str
    namespace: str
    name: str
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    node: str = ""  # "" where it is not known yet
    has_owner: bool = True

    @property
    def object(self) -> str:
        """Return its name for a finding."""
        return f"{self.kind}/{self.namespace}/{self.name}"


def all_subjects(facts: FactReader) -> Iterator[Subject]:
    """Yield the templates, and then the pods, that have a network of their own. NotKnown, if there are no pods."""
    pods: list[Pod] = facts.value("cluster.pods")
    for kind, fact in _WORKLOADS.items():
        for workload in facts.value_or(fact, []):
            yield from _of_template(kind, workload)
    yield from (of_pod(pod) for pod in pods if has_network(pod))


def has_network(pod: Pod) -> bool:
    """Tell whether a pod has a network of its own, and needs it still."""
    is_over = pod.get("status", {}).get("phase") in _ENDED or pod["metadata"].get("deletionTimestamp")
    return not is_over and not pod.get("spec", {}).get("hostNetwork")


def of_pod(pod: Pod) -> Subject:
    """Return what is to be known of a pod."""
    metadata = pod["metadata"]
    annotations: Any = metadata.get("annotations", {})
    return Subject(
        "Pod",
        metadata.get("namespace", ""),
        metadata["name"],
        annotations,
        metadata.get("labels", {}),
        pod.get("spec", {}).get("nodeName", ""),
        bool(metadata.get("ownerReferences")),
    )


def _of_template(kind: str, workload: Workload) -> Iterator[Subject]:
    metadata, spec = workload["metadata"], workload.get("spec", {})
    template = spec.get("template", {})
    if template.get("spec", {}).get("hostNetwork"):
        return
    annotations: Any = template.get("metadata", {}).get("annotations", {})
    labels = template.get("metadata", {}).get("labels", {})
    yield Subject(kind, metadata.get("namespace", ""), metadata["name"], annotations, labels)


def annotate(subject: Subject, key: str, value: str | None) -> Mend:
    """Return the command that gives a pod or a template an annotation; with None it takes it away."""
    if subject.kind != "Pod":
        patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {key: value}}}}})
        kind = subject.kind.lower()
        return command("kubectl -n {} patch {} {} --type=merge -p {}", subject.namespace, kind, subject.name, patch)
    if value is None:
        return command("kubectl -n {} annotate pod {} {}", subject.namespace, subject.name, f"{key}-")
    said = f"{key}={value}"
    return command("kubectl -n {} annotate pod {} --overwrite {}", subject.namespace, subject.name, said)
