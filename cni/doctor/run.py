"""Makes the checks on a document of facts, and a report of what they find. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from cni.contracts.doctor import RESULTS, CheckReport, DoctorReport, FindingReport, Result, Severity
from cni.contracts.facts import Facts
from cni.doctor.check import Check, Finding
from cni.doctor.facts import FactReader, NotKnown

_ORDER: tuple[Severity, ...] = ("failure", "warning", "information")
LeftOut: TypeAlias = Literal["", "node", "cluster"]
FailOn: TypeAlias = Literal["failure", "warning", "nothing"]
_ONLY: Mapping[LeftOut, str] = {"node": "--cluster-only", "cluster": "--node-only"}
_GIVEN = {"cluster.router"}  # what --router gives, and nobody has to ask for
_RESULTS: Mapping[Severity, Result] = {"failure": "failure", "warning": "warning", "information": "ok"}


def chosen(
    checks: Iterable[Check], only: Sequence[str], skip: Sequence[str], *, pre: bool, left_out: LeftOut = ""
) -> dict[str, str]:
    """Return by what each check is skipped, by id: an option's name, or "" for those that are to be made.

    `left_out` is what nothing is read of.
    """
    skipped = {}
    for check in checks:
        skipped[check.id] = ""
        if only and check.id not in only:
            skipped[check.id] = "--only"
        elif check.id in skip:
            skipped[check.id] = "--skip"
        elif pre and not check.before_install:
            skipped[check.id] = "--pre"
        elif left_out and any(name.startswith(f"{left_out}.") for name in {*check.needs} - _GIVEN):
            skipped[check.id] = _ONLY[left_out]
    return skipped


def wanted_facts(checks: Iterable[Check], skipped: Mapping[str, str]) -> set[str]:
    """Return the names of the facts that the checks look at which are to be made."""
    return {name for check in checks if not skipped[check.id] for name in check.declared}


def report(checks: Iterable[Check], facts: Facts, skipped: Mapping[str, str], version: str) -> DoctorReport:
    """Make the checks that are not skipped, and return what they have found."""
    made = [_skipped(check, skipped[check.id]) if skipped[check.id] else _made(check, facts) for check in checks]
    numbers = Counter(one["result"] for one in made)
    return {"version": version, "summary": {result: numbers[result] for result in RESULTS}, "checks": made}


def may_change(checks: Iterable[Check], made: DoctorReport) -> bool:
    """Tell whether something was found by a check that names a wait: time may mend it."""
    waiting = {check.id for check in checks if check.waits}
    return any(one["id"] in waiting and one["result"] not in ("ok", "skipped") for one in made["checks"])


def exit_status(made: DoctorReport, fail_on: FailOn) -> int:
    """Return 0 where nothing has failed, 1 where something has, 3 where nothing could be checked."""
    summary = made["summary"]
    if fail_on == "nothing":
        return 0
    severities = {one["finding"]["severity"] for one in made["nodes"]["findings"]} if "nodes" in made else set()
    if summary["failure"] or "failure" in severities:
        return 1
    if fail_on == "warning" and (summary["warning"] or "warning" in severities):
        return 1
    return 0 if summary["ok"] or summary["warning"] else 3


def _made(check: Check, facts: Facts) -> CheckReport:
    reader = FactReader(facts, check.declared)
    try:
        for name in check.needs:
            reader.value(name)
        findings = list(check.find(reader))
    except NotKnown as reason:
        return _report(check, "not-checked", str(reason), [])
    except Exception as error:  # the other checks are to be made whatever is wrong with this one
        return _report(check, "not-checked", f"the check itself failed, report it: {type(error).__name__}: {error}", [])
    severities = {finding.severity or check.severity for finding in findings}
    worst: Severity = next((severity for severity in _ORDER if severity in severities), "information")
    return _report(check, _RESULTS[worst], "", findings)


def _skipped(check: Check, option: str) -> CheckReport:
    return _report(check, "skipped", f"by {option}", [])


def _report(check: Check, result: Result, because: str, findings: Sequence[Finding]) -> CheckReport:
    reports = [_finding(check, finding) for finding in findings]
    made: CheckReport = {
        "id": check.id,
        "part": check.part,
        "severity": check.severity,
        "result": result,
        "findings": reports,
        "doc": check.doc,
    }
    return {**made, "because": because} if because else made


def _finding(check: Check, finding: Finding) -> FindingReport:
    made: FindingReport = {
        "object": finding.object,
        "seen": finding.seen,
        "why": finding.why or check.why,
        "severity": finding.severity or check.severity,
    }
    if finding.mend:
        made["mend"] = {"kind": finding.mend.kind, "text": finding.mend.text}
    if finding.cause:
        made["cause"] = finding.cause
    return made
