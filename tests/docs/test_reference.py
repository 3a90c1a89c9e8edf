"""The pages of reference and design hold what the program has, and name files that are there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni import errors
from cni.plugin import agent_errors
from tests import requirements
from tests.build import recipes
from tests.requirements import ROOT
from tests.test_documents import CODE_SPAN, FENCE, first_cells

REFERENCE = ROOT / "docs/reference"
PAGES = sorted([*REFERENCE.glob("*.md"), *(ROOT / "docs/design").glob("*.md"), *(ROOT / "cni").rglob("README.md")])
# A file of the repository, as the pages name it: from its root, with an ending.
FILE = re.compile(r"^(?:cni|build|tests|spec)/[\w./-]+\.(?:py|c|h|sh|md|json|yaml|spec)$")

# Prints the pages that differ from what a script makes.
OTHER_PAGES = """
import runpy, sys
for path, text in runpy.run_path(sys.argv[1])["publish"]().items():
    if path.read_text() != text:
        print(path)
"""


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = page.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def missing_files(page: Path) -> Iterator[str]:
    """Yield the files that a page names in its prose, and that are not there."""
    for span in CODE_SPAN.findall(FENCE.sub("", page.read_text())):
        if FILE.match(span) and not (ROOT / span).exists():
            yield span


@pytest.mark.parametrize("script", recipes.load("pages").SOURCES)
def test_a_generated_page_is_what_the_program_says(script: str) -> None:
    """In a process of its own, because click keeps an option of each command that was run."""
    command = [sys.executable, "-c", OTHER_PAGES, str(ROOT / "build" / script)]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'build'}"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_page_of_errors_has_every_code_and_no_other() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert {int(cell.split()[0]) for cell in first_cells(REFERENCE / "errors.md", "Codes")} == codes


def test_the_page_of_errors_has_the_agents_words_with_the_plugins_hints_in_their_order() -> None:
    assert rows(REFERENCE / "errors.md", "What the agent says") == [list(hint) for hint in agent_errors._HINTS]


def test_the_error_on_the_page_is_what_the_plugin_prints(tmp_path: Path) -> None:
    plugin = requirements.need_frozen("spiderpool")
    block = re.findall(r"```console\n\$ (.*?)```", (REFERENCE / "errors.md").read_text(), re.DOTALL)[0]
    command, brace, printed = block.partition("\n{\n")
    command = command.replace("/opt/cni/bin/spiderpool ", f"{plugin} ")
    # The machine's own log is not for tests.
    command = command.replace('"type": "spiderpool"', f'"type": "spiderpool", "log_file_path": "{tmp_path}/log"')
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (brace.lstrip() + printed, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    assert list(missing_files(page)) == []


def test_a_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`cni/gone.py` `cni/errors.py` `tests/soak`\n```\n`cni/in_a_block.py`\n```\n")
    assert list(missing_files(page)) == ["cni/gone.py"]


def test_the_page_on_the_image_has_the_instructions_that_are_recorded() -> None:
    recorded = json.loads((ROOT / "tests/build/instructions.json").read_text())
    figures = [f"{count / 1e6:.1f} million" for count in recorded.values()]
    assert ["Instructions of one ADD", *figures] in rows(ROOT / "docs/design/image.md", "The idea")


def test_the_result_on_the_page_of_one_add_is_that_of_the_vector_that_it_names() -> None:
    text = (ROOT / "docs/design/one-add.md").read_text()
    (vector,) = re.findall(r"`(spec/vectors/[\w./-]+)`", text)
    (shown,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert json.loads(shown) == json.loads((ROOT / vector / "stdout.json").read_text())
