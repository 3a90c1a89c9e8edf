"""Leaves out of a report what tells of pods: their names and addresses, and all other addresses. Pure.

Which checks tell of pods is seen from the facts that they look at. Of these, the number of their findings is left. In
all other texts, addresses are replaced.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from cni.contracts.doctor import CheckReport, DoctorReport, FindingReport, NodesReport
from cni.doctor import node_findings
from cni.doctor.check import Check

# Of the facts of a node, those in which pods and the routes to them are. (Of a cluster's, nearly all are such.)
_OF_PODS = ("node.local_addresses", "node.pod_interfaces", "node.routes", "node.bird", "cluster.")
_GATEWAY = "169.254.1.1"  # that of Calico's pods, which is the same everywhere
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
_MAY_BE_IPV6 = re.compile(r"(?<!\w)[0-9A-Fa-f]*:[0-9A-Fa-f:]*")


def without_pods(report: DoctorReport, checks: Iterable[Check]) -> DoctorReport:
    """Return a report in which no pod is named, and no address."""
    others = {check.id for check in checks if not any(name.startswith(_OF_PODS) for name in check.needs)}
    reduced: DoctorReport = {**report, "checks": [_of_check(one, others) for one in report["checks"]]}
    if "nodes" in report:
        reduced["nodes"] = _of_nodes(report["nodes"], others)
    return reduced


def _of_check(check: CheckReport, others: set[str]) -> CheckReport:
    reduced: CheckReport = {**check, "findings": _of_findings(check["id"], check["findings"], others)}
    if "because" in check:
        reduced["because"] = without_addresses(check["because"])
    return reduced


def _of_nodes(nodes: NodesReport, others: set[str]) -> NodesReport:
    """Reduce what each node has told, as if it had told no more; what is equal then is told once."""
    told: dict[tuple[str, str], list[FindingReport]] = {}
    for one in nodes["findings"]:
        for node in one["nodes"]:
            told.setdefault((one["check"], node), []).append(one["finding"])
    return {
        **nodes,
        "silent": [{**one, "because": without_addresses(one["because"])} for one in nodes["silent"]],
        "findings": node_findings.grouped(
            (node, check, finding)
            for (check, node), findings in told.items()
            for finding in _of_findings(check, findings, others)
        ),
        "not_checked": node_findings.not_checked(
            (node, check, without_addresses(one["because"]))
            for one in nodes["not_checked"]
            for check in one["checks"]
            for node in one["nodes"]
        ),
    }


def _of_findings(check: str, findings: Iterable[FindingReport], others: set[str]) -> list[FindingReport]:
    """Reduce what a check has found. One that is not known, as of a node with a newer release, may tell of pods."""
    return [_of_finding(one) for one in findings] if check in others else _counted(findings)


def _counted(findings: Iterable[FindingReport]) -> list[FindingReport]:
    """Return one finding for each severity."""
    found: dict[str, list[FindingReport]] = {}
    for one in findings:
        found.setdefault(one["severity"], []).append(one)
    return [
        {
            "object": "this node",
            "seen": f"{len(ones)} findings, of pods or addresses: `spiderpool-ipam doctor` there shows them",
            "why": without_addresses(ones[0]["why"]),
            "severity": ones[0]["severity"],
        }
        for ones in found.values()
    ]


def _of_finding(finding: FindingReport) -> FindingReport:
    reduced: FindingReport = {
        **finding,
        "object": without_addresses(finding["object"]),
        "seen": without_addresses(finding["seen"]),
        "why": without_addresses(finding["why"]),
    }
    if mend := finding.get("mend"):
        reduced["mend"] = {**mend, "text": without_addresses(mend["text"])}
    return reduced


def without_addresses(text: str) -> str:
    """Return a text in which no address is; the port after one stays."""
    return _MAY_BE_IPV6.sub(_replaced, _IPV4.sub(_replaced, text))


def _replaced(found: re.Match[str]) -> str:
    """Replace an address, which may have a colon after it, or a port."""
    text = found[0]
    without_colon = text.rstrip(":")
    for one in (text, without_colon, without_colon.rpartition(":")[0]):
        if _is_address(one):
            return "(address)" + text[len(one) :]
    return text


def _is_address(text: str) -> bool:
    try:
        return str(ip_address(text)) != _GATEWAY
    except ValueError:
        return False
