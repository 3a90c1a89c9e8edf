"""What doctor says in Chinese: every text of the table has its Chinese one, and nothing else is changed."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest

from cni.contracts.doctor import PARTS
from cni.doctor import chinese, languages, run
from cni.doctor.check import Check
from cni.doctor.checks import CHECKS
from tests.doctor.documents import CLUSTER, changed, guide
from tests.requirements import ROOT

WHY = 3  # the place of a finding's own reason among its arguments


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= char <= "\u9fff" for char in text)


def test_every_check_has_its_texts_in_chinese_and_there_are_none_too_many() -> None:
    assert list(chinese.TEXTS) == [check.id for check in sorted(CHECKS, key=lambda check: PARTS.index(check.part))]


@pytest.mark.parametrize("check", languages.checks_in("zh", CHECKS), ids=lambda check: check.id)
def test_a_row_is_complete(check: Check) -> None:
    for text in (check.why, check.to_do):
        assert is_chinese(text)
        assert text.endswith("。")
    assert "\n" not in check.looks_at
    assert not check.looks_at.endswith("。")
    if check.id != "calico-kube-controllers":  # the name of a Deployment, and no more
        assert is_chinese(check.looks_at)


def test_a_check_differs_in_its_texts_only() -> None:
    for one, other in zip(CHECKS, languages.checks_in("zh", CHECKS), strict=True):
        assert {name for name in vars(one) if getattr(one, name) != getattr(other, name)} <= {
            "looks_at",
            "why",
            "to_do",
        }
    assert languages.checks_in("en", CHECKS) == CHECKS


def own_whys(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield what a function gives findings as a reason of their own."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]
    for call in calls:
        for value in [*call.args[WHY : WHY + 1], *(one.value for one in call.keywords if one.arg == "why")]:
            yield from assigned(function, value.id) if isinstance(value, ast.Name) else [value]


def assigned(function: ast.FunctionDef, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            yield node.value


def test_every_reason_of_a_finding_itself_has_its_chinese_and_there_are_none_too_many() -> None:
    modules = [ast.parse(path.read_text()) for path in (ROOT / "cni/doctor").rglob("*.py")]
    functions = [node for module in modules for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    # A reason that is put together cannot be looked up: it is shown here in the place of a text.
    found = {
        why.value if isinstance(why, ast.Constant) else ast.unparse(why) for one in functions for why in own_whys(one)
    }
    assert found == set(chinese.WHYS)
    assert all(map(is_chinese, chinese.WHYS.values()))


def test_a_report_has_why_and_the_page_in_chinese_and_the_rest_as_it_was() -> None:
    facts = changed(guide(CLUSTER), "node.agent.fault", "it is gone")
    english = run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0")
    report = languages.report_in("zh", english)
    (found,) = [check for check in report["checks"] if check["id"] == "node-agent"]
    (finding,) = found["findings"]
    assert finding["why"] == chinese.TEXTS["node-agent"].why
    assert found["doc"] == "docs/zh/doctor/node.md#node-agent"
    assert without_texts(report) == without_texts(english)
    assert languages.report_in("en", english) == english


def without_texts(report: Any) -> list[Any]:
    return [
        ({**check, "doc": "", "findings": [{**finding, "why": ""} for finding in check["findings"]]})
        for check in report["checks"]
    ]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_the_page_that_is_named_in_chinese_is_there_and_has_the_section(check: Check) -> None:
    path, _, anchor = check.doc.replace("docs/", "docs/zh/", 1).partition("#")
    assert f"## {anchor}\n" in (ROOT / path).read_text()


def test_a_reason_of_a_findings_own_is_not_taken_for_the_checks() -> None:
    (why, own), *_ = chinese.WHYS.items()
    finding: Any = {"object": "x", "seen": "y", "why": why, "severity": "failure"}
    report: Any = {"checks": [{"id": "node-agent", "doc": "docs/x.md", "findings": [finding]}]}
    assert languages.report_in("zh", report)["checks"][0]["findings"][0]["why"] == own
    report = {"checks": [], "nodes": {"findings": [{"check": "node-agent", "finding": finding, "nodes": ["a"]}]}}
    assert languages.report_in("zh", report)["nodes"]["findings"][0]["finding"]["why"] == own


def test_what_a_newer_release_on_a_node_has_found_stays_in_english() -> None:
    finding: Any = {"object": "x", "seen": "y", "why": "It matters.", "severity": "failure"}
    report: Any = {"checks": [], "nodes": {"findings": [{"check": "of-tomorrow", "finding": finding, "nodes": ["a"]}]}}
    assert languages.report_in("zh", report) == report


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("zh_CN.UTF-8", "zh"), ("zh_CN.utf8@stroke", "zh"), ("zh", "zh"), ("ZH_TW", "zh"), ("zh@x", "zh"),
        ("zh_CN.GBK", "en"), ("zh_TW.BIG5", "en"), ("C", "en"), ("", "en"), ("de_DE.UTF-8", "en"),
    ],
)  # fmt: skip
def test_the_language_of_a_locale(name: str, language: str) -> None:
    assert languages.of_locale(name) == language
