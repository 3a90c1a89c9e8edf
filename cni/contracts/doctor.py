"""What `spiderpool-ipam doctor` reports with --json. Published as spec/doctor/report.schema.json; what `watch --report`
serves is in spec/doctor/node_report.schema.json.

A key that has nothing to say is left out: `because` of a check that was made, `mend` and `cause` of a finding.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

Part = Literal["node", "spiderpool", "calico"]
Severity = Literal["failure", "warning", "information"]
Result = Literal["ok", "warning", "failure", "not-checked", "skipped"]

PARTS: tuple[Part, ...] = ("node", "spiderpool", "calico")
RESULTS: tuple[Result, ...] = ("ok", "warning", "failure", "not-checked", "skipped")

_CLOSED = ConfigDict(extra="forbid")


@with_config(_CLOSED)
class MendReport(TypedDict):
    """How to mend it."""

    kind: Annotated[Literal["command", "manifest"], Field(description="A command for a shell, or YAML to apply.")]
    text: str


@with_config(_CLOSED)
class FindingReport(TypedDict):
    """One thing that is not well, or is worth to be known."""

    object: Annotated[str, Field(description="What it is about: a file, an object of the API, an address.")]
    seen: Annotated[str, Field(description="What was seen of it.")]
    why: Annotated[str, Field(description="Why that matters.")]
    severity: Severity
    mend: NotRequired[MendReport]
    cause: NotRequired[Annotated[str, Field(description="The id of the check that names the cause of this.")]]


@with_config(_CLOSED)
class CheckReport(TypedDict):
    """One check, and what it has found."""

    id: str
    part: Part
    severity: Annotated[Severity, Field(description="The most that a finding of this check can mean.")]
    result: Annotated[Result, Field(description="By the most severe finding; information alone leaves it ok.")]
    because: NotRequired[Annotated[str, Field(description="Why it was not checked, or what has skipped it.")]]
    findings: list[FindingReport]
    doc: Annotated[str, Field(description="Where the documentation of this check is.")]


@with_config(_CLOSED)
class LinkReport(TypedDict):
    """One link of the way of a pod's addresses, from its annotation to the router."""

    name: Annotated[str, Field(description="What it is: pools, SpiderIPPool, … and for each address node, export, ….")]
    state: Literal["ok", "warning", "broken", "not-known"]
    seen: Annotated[str, Field(description="What was seen of it; for not-known, why it is not known.")]
    cause: NotRequired[Annotated[str, Field(description="The id of the check that names the cause of a broken link.")]]


@with_config(_CLOSED)
class NodeFinding(TypedDict):
    """What was found on some nodes, in the same words."""

    check: Annotated[str, Field(description="The id of the check.")]
    finding: FindingReport
    nodes: list[str]


@with_config(_CLOSED)
class NotCheckedOnNodes(TypedDict):
    """Checks that could not be made on some nodes, for the same reason."""

    checks: Annotated[list[str], Field(description="Their ids.")]
    because: str
    nodes: list[str]


@with_config(_CLOSED)
class SilentNodes(TypedDict):
    """Nodes without a report."""

    because: str
    nodes: Annotated[list[str], Field(description="None where not even their names are known.")]


@with_config(_CLOSED)
class NodesReport(TypedDict):
    """What doctor has found on each node, as watch tells."""

    answered: Annotated[list[str], Field(description="The nodes that have told.")]
    silent: list[SilentNodes]
    findings: list[NodeFinding]
    not_checked: list[NotCheckedOnNodes]


@with_config(_CLOSED)
class DoctorReport(TypedDict):
    """What all checks have found."""

    version: Annotated[str, Field(description="The version of the program that has checked.")]
    summary: Annotated[dict[Result, int], Field(description="How many checks had each result.")]
    checks: list[CheckReport]
    way: NotRequired[Annotated[list[LinkReport], Field(description="With --pod: the way of the pod's addresses.")]]
    nodes: NotRequired[Annotated[NodesReport, Field(description="With --nodes: what their watch tells.")]]


@with_config(_CLOSED)
class NodeReport(TypedDict):
    """What `watch --report` serves at /report."""

    made_at: Annotated[float, Field(description="When it was made: Unix time, in seconds.")]
    report: DoctorReport


DOCTOR_REPORT = TypeAdapter(DoctorReport)
NODE_REPORT = TypeAdapter(NodeReport)
