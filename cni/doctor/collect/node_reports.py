"""Asks watch on each node what doctor finds there, by the API server's proxy. Side effects: those of kube.py.

It works where the chart's `metrics.report.enabled` is set, with the right to get `pods/proxy` in our namespace.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cni.contracts.doctor import NODE_REPORT, FindingReport, NodeReport, NodesReport
from cni.contracts.workload_objects import ReportingPod
from cni.deadline import Deadline
from cni.doctor import caller, node_findings
from cni.doctor.collect import kubeconfig
from cni.doctor.collect.cluster import LISTS, SECONDS
from cni.doctor.discretion import without_addresses
from cni.installer.errors import InstallerError

if TYPE_CHECKING:
    from cni.doctor.collect.kube import Kube

AT_ONCE = 32
SECONDS_EACH = 4.0  # a node that makes its report says after 1.5 s that it is to be asked again in a second
_STEP = 500  # nodes after which somebody who looks is told
_PORT = "metrics"
_SILENT = "its watch serves no report: the chart's metrics.report.enabled"


def collect(explicit: Path | None, context: str, progress: Callable[[str], None]) -> NodesReport:
    """Return what doctor finds on the nodes of a cluster. InstallerError: the cluster cannot be asked."""
    from cni.doctor.collect.kube import Kube, page_of

    kube = Kube(kubeconfig.find(explicit, context, caller.environment()), Deadline(SECONDS))
    try:
        listing = LISTS["own_pods"]
        pods = kube.list(listing.path, page_of(ReportingPod), listing.selector)
        progress(f"asking {len(pods)} nodes")
        kube.prolong(SECONDS + SECONDS_EACH * math.ceil(len(pods) / AT_ONCE))
        return grouped(_asked(kube, pods, progress))
    finally:
        kube.close()


def _asked(
    kube: "Kube", pods: Sequence[ReportingPod], progress: Callable[[str], None]
) -> Mapping[str, NodeReport | str]:
    """Return the report of each node, or why there is none."""
    by_node = {name: pod for pod in pods if (name := pod["spec"].get("nodeName", ""))}
    answers: dict[str, NodeReport | str] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for node, answer in zip(by_node, threads.map(lambda pod: _ask(kube, pod), by_node.values()), strict=True):
            answers[node] = answer
            if len(answers) % _STEP == 0:
                progress(f"{len(answers)} of {len(by_node)} nodes are asked")
    return answers


def _ask(kube: "Kube", pod: ReportingPod) -> NodeReport | str:
    watch = next((one for one in pod["spec"].get("containers", []) if "--report" in one.get("args", [])), None)
    ports = [one["containerPort"] for one in watch.get("ports", []) if one.get("name") == _PORT] if watch else []
    if not ports:
        return _SILENT
    metadata = pod["metadata"]
    name = f"{metadata['name']}:{ports[0]}"
    try:
        return kube.read(f"/api/v1/namespaces/{metadata.get('namespace', '')}/pods/{name}/proxy/report", NODE_REPORT)
    except InstallerError as error:
        return str(error).replace(metadata["name"], "(pod)")


def grouped(answers: Mapping[str, NodeReport | str]) -> NodesReport:
    """Return equal findings, and equal reasons for no report, once each, with the nodes that have them. Pure."""
    told: dict[str, NodeReport] = {}
    silent: dict[str, list[str]] = {}
    for node, answer in sorted(answers.items()):
        if isinstance(answer, str):
            silent.setdefault(without_addresses(answer), []).append(node)  # the server names each pod's
        else:
            told[node] = answer
    return {
        "answered": list(told),
        "silent": [{"because": because, "nodes": nodes} for because, nodes in silent.items()],
        "findings": node_findings.grouped(_findings(told)),
        "not_checked": node_findings.not_checked(_not_checked(told)),
    }


def _findings(told: Mapping[str, NodeReport]) -> Iterable[tuple[str, str, FindingReport]]:
    return (
        (node, check["id"], finding)
        for node, answer in told.items()
        for check in answer["report"]["checks"]
        for finding in check["findings"]
    )


def _not_checked(told: Mapping[str, NodeReport]) -> Iterable[tuple[str, str, str]]:
    return (
        (node, check["id"], check.get("because", ""))
        for node, answer in told.items()
        for check in answer["report"]["checks"]
        if check["result"] == "not-checked"
    )
