"""No check fails, and nothing that shows a report, whatever the facts say: only that they keep the contract is sure."""

import json
import os

from hypothesis import HealthCheck, given, settings

from cni.contracts.facts import Facts
from cni.doctor import bundle, discretion, pod_way, render, run, suggest
from cni.doctor.checks import CHECKS
from cni.doctor.facts import FactReader
from cni.doctor.languages import LANGUAGES, checks_in, report_in
from tests.doctor.wrong_documents import documents

DOCUMENTS = int(os.environ.get("WRONG_DOCUMENTS", "400"))


@settings(
    max_examples=DOCUMENTS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(documents())
def test_whatever_the_facts_say_each_check_is_made_and_the_report_is_shown(facts: Facts) -> None:
    report = run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0")
    failed = [one["because"] for one in report["checks"] if "the check itself failed" in one.get("because", "")]
    assert not failed
    for language in LANGUAGES:
        render.show(report_in(language, report), checks_in(language, CHECKS), language, short=False)
    assert json.loads(json.dumps(discretion.without_pods(report, CHECKS)))
    assert list(suggest.stream(report, suggest.tool(FactReader(facts)))) is not None
    assert bundle._packed(facts, report)
    pods = facts["cluster"].get("pods", [])
    for pod in pods if isinstance(pods, list) else []:
        links = list(pod_way.way(FactReader(facts, pod_way.USES), pod))
        assert [pod_way.reported(link, report)["state"] for link in links] == [link.state for link in links]
        render.show_way(links, lambda link: pod_way.cause(link, report), pod_way.look_at(pod), "en")
