"""What `spiderpool-ipam doctor` says of the lab: on each node, by its own files and sockets, the API, and FRR.

What has a cause that is named in the same report is a symptom; what is left are the causes. Side effects: doctor's.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tests.lab import programs, router
from tests.lab.node import Node
from tests.lab.processes import FOLDER, LabError, Word
from tests.lab.topology import Lab

_ROUTER = FOLDER / "frr.json"
# As doctor's own text says it.
_SHOWN = ("show bgp summary json", "show ip route bgp json", "show ipv6 route bgp json")
_FAULTS = ("warning", "failure")
_BROKEN = "the check itself failed"

Check = dict[str, Any]
Finding = dict[str, Any]


class Diagnosis(NamedTuple):
    """What doctor says on one node."""

    node: Node
    checks: list[Check]

    @property
    def failed(self) -> set[str]:
        """The ids of the checks that have found something."""
        return {check["id"] for check in self.checks if check["result"] in _FAULTS}

    @property
    def causes(self) -> list[tuple[Check, Finding]]:
        """What was found that is no symptom, with its checks."""
        return [(check, one) for check, one in self._found() if one.get("cause") not in self.failed]

    @property
    def symptoms(self) -> set[tuple[str, str]]:
        """Which checks have found symptoms, and the checks that name their causes."""
        return {(check["id"], one["cause"]) for check, one in self._found() if one.get("cause") in self.failed}

    def information(self, check_id: str) -> list[Finding]:
        """Return what a check tells that is no fault."""
        return [one for check in self.checks if check["id"] == check_id for one in check["findings"]]

    def _found(self) -> Iterator[tuple[Check, Finding]]:
        for check in self.checks:
            yield from ((check, one) for one in check["findings"] if one["severity"] in _FAULTS)


def ask(lab: Lab, *, with_router: bool = True) -> list[Diagnosis]:
    """Run doctor on all nodes at the same time. LabError: it says nothing, or a check of it is broken."""
    options: list[Word] = []
    if with_router:
        _ROUTER.write_text(router.show(*_SHOWN))
        options = ["--router", _ROUTER]

    def of_node(node: Node) -> Diagnosis:
        return Diagnosis(node, json.loads(run(lab, node, "--json", *options))["checks"])

    with ThreadPoolExecutor(len(lab.nodes)) as workers:
        found = list(workers.map(of_node, lab.nodes))
    for check in (check for one in found for check in one.checks):
        if _BROKEN in check.get("because", ""):
            raise LabError(f"{check['id']}: {check['because']}")
    return found


def run(lab: Lab, node: Node, *options: Word) -> str:
    """Return what doctor prints on a node: out of the sources, or the frozen program."""
    sources: list[Word] = [sys.executable, "-m", "cni.cli"]
    command = [programs.OURS] if lab.has_frozen_doctor else sources
    environ = {"PYTHONPATH": str(programs.ROOT)}
    return node.say(*command, "doctor", "--kubeconfig", FOLDER / "kubeconfig", *options, environ=environ)


def named(found: list[Diagnosis]) -> set[str]:
    """Return the ids of the checks that name causes."""
    return {check["id"] for one in found for check, _ in one.causes}


def words(found: list[Diagnosis]) -> str:
    """Return what doctor has found, in a line."""
    return "; ".join(
        f"{one.node.name}: {check['id']} {finding['object']}: {finding['seen']}"
        for one in found
        for check, finding in one.causes
    )
