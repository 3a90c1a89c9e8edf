"""The texts of checks, and what a report says of them, in the reader's language. Pure.

What was seen, and the names of checks, results and severities are the same in every language: they can be searched for.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, TypeAlias

from cni.contracts.doctor import CheckReport, DoctorReport, FindingReport, NodeFinding
from cni.doctor import chinese
from cni.doctor.check import Check

Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
FOLDERS: dict[Language, str] = {"en": "docs", "zh": "docs/zh"}  # of the documentation


def of_locale(name: str) -> Language:
    """Return the language of a locale, such as zh_CN.UTF-8; English where there is no other.

    What is printed is UTF-8, so a locale that names another encoding, as zh_CN.GBK does, gets English.
    """
    territory, _, encoding = name.lower().partition("@")[0].partition(".")
    return "zh" if territory.startswith("zh") and encoding.replace("-", "") in ("", "utf8") else "en"


def checks_in(language: Language, checks: Iterable[Check]) -> tuple[Check, ...]:
    """Return the checks with their texts in a language."""
    return (
        tuple(checks) if language == "en" else tuple(replace(one, **chinese.TEXTS[one.id]._asdict()) for one in checks)
    )


def report_in(language: Language, report: DoctorReport) -> DoctorReport:
    """Return a report, which is in English, in a language."""
    if language == "en":
        return report
    translated: DoctorReport = {**report, "checks": [_check(language, one) for one in report["checks"]]}
    if "nodes" in report:
        nodes = report["nodes"]
        found: list[NodeFinding] = [
            {**one, "finding": _finding(one["check"], one["finding"])} for one in nodes["findings"]
        ]
        translated["nodes"] = {**nodes, "findings": found}
    return translated


def _check(language: Language, check: CheckReport) -> CheckReport:
    doc = check["doc"].replace(FOLDERS["en"], FOLDERS[language], 1)
    return {**check, "doc": doc, "findings": [_finding(check["id"], one) for one in check["findings"]]}


def _finding(check: str, finding: FindingReport) -> FindingReport:
    its_own = chinese.TEXTS[check].why if check in chinese.TEXTS else finding["why"]  # a node may have a newer release
    return {**finding, "why": chinese.WHYS.get(finding["why"], its_own)}
