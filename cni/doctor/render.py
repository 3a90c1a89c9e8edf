"""Shows a report to people, or as JSON. Side effect: writes to stdout. Colours are for terminals only."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from cni.contracts.doctor import PARTS, CheckReport, DoctorReport, FindingReport, NodesReport, Result
from cni.doctor.check import Check
from cni.doctor.languages import Language

if TYPE_CHECKING:
    from cni.doctor.pod_way import Cause, Link

_SIGNS: dict[Result, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failure": ("FAILURE", "red"),
    "not-checked": ("not checked", "cyan"),
    "skipped": ("skipped", "bright_black"),
}
_STATES = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "broken": ("BROKEN", "red"),
    "not-known": ("not known", "cyan"),
}


class Labels(NamedTuple):
    """What stands before the texts of a finding, and beside a link."""

    why: str
    mend: str
    cause: str
    symptom: str
    see: str
    broken: str
    to_do: str


_LABELS: dict[Language, Labels] = {
    "en": Labels("why: ", "mend: ", "cause: ", "and so ", "see ", "<-- the first broken link", "to do: "),
    "zh": Labels("说明：", "修复：", "根源：", "由此引起 ", "参见 ", "<-- 第一个断开的环节", "处理："),
}
_MOST_LINES = 3  # for what one option has skipped of a part
_MOST_NAMES = 20  # of nodes in a line; --json has all
_WIDTH = max(len(sign) for sign, _ in _SIGNS.values())


def show_json(report: DoctorReport) -> None:
    """Print the report as one JSON object."""
    click.echo(json.dumps(report, ensure_ascii=False))


def show(report: DoctorReport, checks: tuple[Check, ...], language: Language, *, short: bool) -> None:
    """Print a line for each check, below its part, and its findings; `short`: only of what is not ok.

    What an option has skipped of a part is one line, where it would be many.
    """
    texts = {check.id: check for check in checks}
    caused = _by_cause(report)
    for part in PARTS:
        shown = [one for one in report["checks"] if one["part"] == part and _is_shown(one, short=short)]
        if shown:
            click.secho(part, bold=True)
        skipped = Counter(one.get("because", "") for one in shown if one["result"] == "skipped")
        together = {because: number for because, number in skipped.items() if number > _MOST_LINES}
        for check in shown:
            if check["result"] != "skipped" or check.get("because", "") not in together:
                _show_check(check, texts.get(check["id"]), caused.get(check["id"], []), _LABELS[language])
        for because, number in together.items():
            _show_line("skipped", f"{number} checks: {because}")
    if "nodes" in report:
        _show_nodes(report["nodes"], _LABELS[language])
    click.echo(_summary(report))


def _show_nodes(nodes: NodesReport, labels: Labels) -> None:
    """Print what was found on the nodes: what several have in common once."""
    silent_number = sum(len(one["nodes"]) for one in nodes["silent"])
    others = f", {silent_number} have not" if silent_number else ""
    click.secho(f"nodes ({len(nodes['answered'])} have told{others})", bold=True)
    for one in nodes["findings"]:
        severity = one["finding"]["severity"]
        _show_line("ok" if severity == "information" else severity, f"{one['check']}: on {_names(one['nodes'])}")
        for line in _lines(one["finding"], labels):
            click.echo(f"  {' ' * _WIDTH}    {line}")
    for unchecked in nodes["not_checked"]:
        told = f"{', '.join(unchecked['checks'])}: on {_names(unchecked['nodes'])}: {unchecked['because']}"
        _show_line("not-checked", _printable(told))
    for silent in nodes["silent"]:
        names = _names(silent["nodes"]) or "which nodes there are is not known"
        _show_line("not-checked", f"{names}: {_printable(silent['because'])}")


def _names(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - _MOST_NAMES} more" if len(nodes) > _MOST_NAMES else ""
    return _printable(", ".join(nodes[:_MOST_NAMES])) + more


def _is_shown(check: CheckReport, *, short: bool) -> bool:
    if not short:
        return True
    return check["result"] not in ("ok", "skipped")


def _by_cause(report: DoctorReport) -> dict[str, list[tuple[str, FindingReport]]]:
    """Return the findings that are symptoms, with their checks' ids, by the id of the check that names their cause."""
    failed = {check["id"] for check in report["checks"] if check["result"] in ("warning", "failure")}
    found: dict[str, list[tuple[str, FindingReport]]] = {}
    for check in report["checks"]:
        for finding in check["findings"]:
            if finding.get("cause") in failed:
                found.setdefault(finding["cause"], []).append((check["id"], finding))
    return found


def _show_check(
    check: CheckReport, texts: Check | None, symptoms: list[tuple[str, FindingReport]], labels: Labels
) -> None:
    because = f": {check['because']}" if "because" in check else ""
    _show_line(check["result"], f"{check['id']}{_printable(because) or f'  ({texts.looks_at if texts else str()})'}")
    for finding in check["findings"]:
        for line in _lines(finding, labels):
            click.echo(f"  {' ' * _WIDTH}    {line}")
    for name, finding in symptoms:
        seen = f"{_printable(finding['object'])}: {_printable(finding['seen'])}"
        click.echo(f"  {' ' * _WIDTH}    {labels.symptom}{name}: {seen}")
    if check["result"] in ("warning", "failure"):
        if texts and not all("mend" in one or "cause" in one for one in check["findings"]):
            click.echo(f"  {' ' * _WIDTH}    {labels.to_do}{texts.to_do}")
        click.echo(f"  {' ' * _WIDTH}    {labels.see}{check['doc']}")


def _show_line(result: Result, text: str) -> None:
    sign, colour = _SIGNS[result]
    click.echo(f"  {click.style(sign.ljust(_WIDTH), fg=colour)}  {text}")


def _lines(finding: FindingReport, labels: Labels) -> Iterator[str]:
    yield f"{_printable(finding['object'])}: {_printable(finding['seen'])}"
    if cause := finding.get("cause"):
        yield f"  {labels.cause}{cause}"
    yield f"  {labels.why}{_printable(finding['why'])}"
    if mend := finding.get("mend"):
        first, *others = mend["text"].strip().splitlines() or [""]  # a node's report may be of another release
        yield f"  {labels.mend}{_printable(first)}"
        yield from (f"        {_printable(line)}" for line in others)


def show_way(
    links: "Sequence[Link]", find_cause: "Callable[[Link], Cause | None]", otherwise: str, language: Language
) -> None:
    """Print the links of a pod's way; below the first that is broken, why it is, and the mend or what to look at."""
    labels = _LABELS[language]
    broken = next((link for link in links if link.state == "broken"), None)
    for link in links:
        sign, colour = _STATES[link.state]
        mark = f"   {labels.broken}" if link is broken else ""
        text = f"{_printable(link.name)}: {_printable(link.text)}"
        click.echo(f"{click.style(sign.ljust(_WIDTH), fg=colour)}  {text}{click.style(mark, bold=True)}")
        if link is broken:
            for line in _broken_by(find_cause(link), otherwise, labels):
                click.echo(f"{' ' * _WIDTH}    {line}")


def _broken_by(cause: "Cause | None", otherwise: str, labels: Labels) -> Iterator[str]:
    if cause is None:
        yield f"{labels.see}{_printable(otherwise)}"
        return
    first, *others = _lines(cause.finding, labels)
    yield f"{cause.check['id']}: {first}"
    yield from others
    yield f"  {labels.see}{cause.check['doc']}"


def _summary(report: DoctorReport) -> str:
    numbers = [f"{number} {_SIGNS[result][0].lower()}" for result, number in report["summary"].items() if number]
    return ", ".join(numbers) or "nothing was checked"


def _printable(text: str) -> str:
    """Return a text with the characters escaped that a terminal would obey: much of it was written by others."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def progress(text: str) -> None:
    """Say on stderr what is being done, if somebody looks: it is a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(f"{text} ...", err=True)
