"""What becomes of facts and checks in the report."""

import json
from collections.abc import Iterable

import jsonschema_rs
import pytest

from cni.contracts.doctor import DOCTOR_REPORT, DoctorReport, Severity
from cni.doctor import run
from cni.doctor.check import Check, Finding, command
from cni.doctor.facts import FactReader, NotKnown, unknown
from tests.doctor.documents import changed, guide
from tests.requirements import ROOT


def check(*findings: Finding, needs: tuple[str, ...] = (), severity: Severity = "failure") -> Check:
    return Check("an-id", "node", severity, "x", "it matters", "mend it", needs, lambda _: findings)


def report(one: Check, skipped: str = "") -> DoctorReport:
    made = run.report([one], guide(), {one.id: skipped}, "1.0.0")
    schema = json.loads((ROOT / "spec/doctor/report.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(json.loads(json.dumps(made)))
    return DOCTOR_REPORT.validate_python(made, strict=True)


def test_what_a_finding_does_not_say_is_the_checks_own() -> None:
    made = report(check(Finding("a file", "gone", command("make it")), Finding("b", "c", why="so", severity="warning")))
    first, second = made["checks"][0]["findings"]
    assert first == {
        "object": "a file",
        "seen": "gone",
        "why": "it matters",
        "severity": "failure",
        "mend": {"kind": "command", "text": "make it"},
    }
    assert (second["why"], second["severity"]) == ("so", "warning")


@pytest.mark.parametrize(
    ("severities", "result", "status"),
    [
        ([], "ok", 0),
        (["information"], "ok", 0),
        (["information", "warning"], "warning", 0),
        (["warning", "failure"], "failure", 1),
    ],
)
def test_the_result_is_that_of_the_most_severe_finding(severities: list[Severity], result: str, status: int) -> None:
    made = report(check(*(Finding("o", "s", severity=severity) for severity in severities)))
    assert made["checks"][0]["result"] == result
    assert run.exit_status(made, "failure") == status
    assert run.exit_status(made, "warning") == int(result in ("warning", "failure"))


def test_a_check_whose_fact_is_not_known_is_not_made_and_says_why() -> None:
    facts = changed(guide(), "node.agent", unknown("HTTP status 403"))
    one = check(Finding("never", "seen"), needs=("node.name", "node.agent"))
    (made,) = run.report([one], facts, {one.id: ""}, "1.0.0")["checks"]
    assert (made["result"], made.get("because"), made["findings"]) == ("not-checked", "HTTP status 403", [])


def test_a_fact_that_an_older_release_did_not_read_is_not_known() -> None:
    facts = guide()
    del facts["node"]["bird"]
    reader = FactReader(facts)
    with pytest.raises(NotKnown, match=r"node\.bird was not read by release 1\.0\.0"):
        reader.value("node.bird")
    assert reader.value_or("node.bird", 3) == 3
    assert reader.value("node.name") == "node1"


def test_a_check_that_fails_itself_does_not_stop_the_others() -> None:
    def fail(_: FactReader) -> Iterable[Finding]:
        raise KeyError("x")

    broken = Check("broken", "node", "failure", "x", "y", "z", (), fail)
    made = run.report([broken, check()], guide(), {"broken": "", "an-id": ""}, "1.0.0")
    assert [one["result"] for one in made["checks"]] == ["not-checked", "ok"]
    assert "report it: KeyError: 'x'" in made["checks"][0].get("because", "")


def test_a_check_gets_no_fact_that_it_does_not_declare() -> None:
    def look(facts: FactReader) -> Iterable[Finding]:
        assert facts.value("node.name") == "node1"
        assert facts.value_or("node.bird6", None)
        facts.value_or("node.bird", None)
        return ()

    one = Check("an-id", "node", "failure", "x", "y", "z", ("node.name",), look, uses=("node.bird6",))
    (made,) = run.report([one], guide(), {"an-id": ""}, "1.0.0")["checks"]
    assert made["result"] == "not-checked"
    assert "UndeclaredError: it looks at node.bird, and does not declare it" in made.get("because", "")


def test_nothing_that_could_be_checked_is_a_status_of_its_own() -> None:
    assert run.exit_status(report(check(needs=("cluster.nodes",))), "failure") == 3
    made = report(check(), "--skip")
    assert made["checks"][0].get("because") == "by --skip"
    assert made["summary"] == {"ok": 0, "warning": 0, "failure": 0, "not-checked": 0, "skipped": 1}
    assert run.exit_status(made, "failure") == 3


def test_where_nothing_is_read_of_a_part_what_needs_it_is_skipped() -> None:
    of_both = check(needs=("node.name", "cluster.nodes"))
    assert run.chosen([of_both], [], [], pre=False, left_out="cluster") == {"an-id": "--node-only"}
    assert run.chosen([of_both], [], [], pre=False, left_out="node") == {"an-id": "--cluster-only"}
    told = check(needs=("cluster.router",))  # --router tells it
    assert run.chosen([told], [], [], pre=False, left_out="cluster") == {"an-id": ""}


def test_only_skip_and_pre_choose() -> None:
    checks = [check(), Check("other", "node", "failure", "x", "y", "z", (), lambda _: (), before_install=True)]
    assert run.chosen(checks, ["other"], [], pre=False) == {"an-id": "--only", "other": ""}
    assert run.chosen(checks, [], ["other"], pre=False) == {"an-id": "", "other": "--skip"}
    assert run.chosen(checks, [], [], pre=True) == {"an-id": "--pre", "other": ""}
    assert run.wanted_facts([check(needs=("node.bird",))], {"an-id": "--pre"}) == set()
