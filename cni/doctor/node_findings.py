"""Groups what doctor finds on the nodes: equal findings once, with the nodes that have them. Pure."""

from collections.abc import Iterable

from cni.contracts.doctor import FindingReport, NodeFinding


def grouped(found: Iterable[tuple[str, str, FindingReport]]) -> list[NodeFinding]:
    """Return these findings, each of which comes with its node and the id of its check."""
    groups: dict[str, NodeFinding] = {}
    for node, check, finding in found:
        group = groups.setdefault(f"{check} {finding}", {"check": check, "finding": finding, "nodes": []})
        group["nodes"].append(node)
    return list(groups.values())
