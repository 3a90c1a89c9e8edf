"""The table of checks keeps its rules, and the pages are made of it."""

import dis
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from cni.doctor import pages, pod_way
from cni.doctor.check import Check
from cni.doctor.checks import CHECKS
from cni.doctor.collect.document import ALL
from cni.doctor.languages import FOLDERS
from tests.requirements import ROOT


def test_ids_are_unique() -> None:
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_row_is_complete(check: Check) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", check.id)
    assert check.needs
    assert set(check.needs) | set(check.uses) <= ALL
    assert "\n" not in check.looks_at
    assert not check.looks_at.endswith(".")
    for text in (check.why, check.to_do):
        assert text.endswith(".")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_row_declares_every_fact_that_its_function_can_reach(check: Check) -> None:
    assert reached(check.find) <= check.declared


def test_so_does_the_way_of_a_pod() -> None:
    assert reached(pod_way.find_pod) | reached(pod_way.way) <= pod_way.USES


def reached(function: Callable[..., object]) -> set[str]:
    """Return the names of facts in a function, in those of doctor that it names, and in the constants of both."""
    todo, seen, found = list[Any]([function]), set[object](), set[str]()
    while todo:
        one = todo.pop()
        if isinstance(one, str) and one in ALL:
            found.add(one)
        elif isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, tuple):
            todo += one
        elif isinstance(one, FunctionType) and one not in seen and one.__module__.startswith("cni.doctor"):
            seen.add(one)
            for code in codes(one.__code__):
                todo += [code.co_consts, *named(one.__globals__, code)]
    return found


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of those that are made in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def named(known: Mapping[str, Any], code: CodeType) -> Iterator[Any]:
    """Yield what a function's names lead to: globals of its module, and what it takes out of other modules."""
    module = None
    for step in dis.get_instructions(code):
        if isinstance(module, ModuleType):
            yield getattr(module, str(step.argval), None)
        module = known.get(step.argval) if step.opname == "LOAD_GLOBAL" else None
        yield module


def test_the_pages_are_made_and_there_is_no_other() -> None:
    published = pages.publish(ROOT)
    assert not [str(path) for path, text in published.items() if not path.exists() or path.read_text() != text], (
        "run python -m cni.doctor.pages"
    )
    assert {path for folder in FOLDERS.values() for path in (ROOT / folder / "doctor").glob("*.md")} < set(published)


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_they_have_a_section_for_each_id_and_no_other(folder: str) -> None:
    listed = (ROOT / folder / "reference/checks.md").read_text()
    assert re.findall(r"^\| \[([\w-]+)\]", listed, re.MULTILINE) == [check.id for check in CHECKS]
    texts = [path.read_text() for path in (ROOT / folder / "doctor").glob("*.md")]
    sections = [line[3:] for text in texts for line in text.splitlines() if line.startswith("## ")]
    assert sorted(sections) == sorted(check.id for check in CHECKS)
