"""Groups what doctor finds on the nodes: what is equal once, with the nodes that have it. Pure."""

from collections.abc import Iterable

from cni.contracts.doctor import FindingReport, NodeFinding, NotCheckedOnNodes


def grouped(found: Iterable[tuple[str, str, FindingReport]]) -> list[NodeFinding]:
    """Return these findings, each of which comes with its node and the id of its check."""
    groups: dict[str, NodeFinding] = {}
    for node, check, finding in found:
        group = groups.setdefault(f"{check} {finding}", {"check": check, "finding": finding, "nodes": []})
        group["nodes"].append(node)
    return list(groups.values())


def not_checked(found: Iterable[tuple[str, str, str]]) -> list[NotCheckedOnNodes]:
    """Return the checks that were not made, each of which comes with its node and why: what is equal, once."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for node, check, because in found:
        nodes.setdefault((because, check), []).append(node)
    groups: dict[tuple[str, tuple[str, ...]], NotCheckedOnNodes] = {}
    for (because, check), names in nodes.items():
        new: NotCheckedOnNodes = {"checks": [], "because": because, "nodes": names}
        groups.setdefault((because, tuple(names)), new)["checks"].append(check)
    return list(groups.values())
