"""docs/lab.md lists the breakages that there are, in their order."""

from tests.lab.breakages import BREAKAGES
from tests.requirements import ROOT
from tests.test_documents import first_cells


def test_the_page_of_the_lab_has_every_breakage_and_no_other() -> None:
    cells = first_cells(ROOT / "docs/lab.md", "Breakages")
    assert [cell.strip("`") for cell in cells] == [breakage.name for breakage in BREAKAGES]
