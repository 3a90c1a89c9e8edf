"""docs/lab.md lists the breakages that there are, in their order, and what doctor names them by."""

import re

from cni.doctor.checks import CHECKS
from tests.lab.breakages import BREAKAGES
from tests.requirements import ROOT


def rows() -> list[list[str]]:
    """Return the cells of the table of breakages, without its head."""
    section = (ROOT / "docs/lab.md").read_text().partition("\n## Breakages\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def test_the_page_of_the_lab_has_every_breakage_and_no_other_with_what_doctor_names() -> None:
    assert [name.strip("`") for name, *_ in rows()] == [one.name for one in BREAKAGES]
    named = [re.findall("`([a-z][a-z-]+)`", cell) for _, _, _, cell in rows()]
    assert named == [one.named.split() + one.told.split() for one in BREAKAGES]


def test_every_name_is_that_of_a_check_of_doctors() -> None:
    known = {check.id for check in CHECKS} | {""}
    assert {name for one in BREAKAGES for name in (*one.named.split(), one.told)} <= known
