"""The table of checks keeps its rules, and the pages are made of it."""

import re

import pytest

from cni.doctor import pages
from cni.doctor.check import Check
from cni.doctor.checks import CHECKS
from cni.doctor.collect.document import ALL
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


def test_the_pages_have_a_section_for_each_id_and_no_other() -> None:
    published = pages.publish(ROOT)
    assert not [str(path) for path, text in published.items() if not path.exists() or path.read_text() != text], (
        "run python -m cni.doctor.pages"
    )
    assert set((ROOT / "docs/doctor").glob("*.md")) == set(published)
    sections = [line[3:] for text in published.values() for line in text.splitlines() if line.startswith("## ")]
    assert sorted(sections) == sorted(check.id for check in CHECKS)
