"""The documents are true: their links lead somewhere, and what they list is what the code has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.contracts.netconf import Ipam

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted(
    path
    for pattern in ("README*.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "cni/**/*.md", "spec/**/*.md")
    for path in ROOT.glob(pattern)
)
# English that is written by hand. In Chinese, a line break would be shown as a blank, so a paragraph is one line.
WRITTEN = [
    page
    for page in PAGES
    if not re.search("spec/|zh", str(page.relative_to(ROOT))) and "\n<!-- GENERATED" not in page.read_text()[:200]
]
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
# In prose, a command stands in a code span. Words such as "make" in the middle of a command are not of interest.
CODE_SPAN = re.compile(r"`([^`]+)`")
MAKE = re.compile(r"(?:^|&&|\() *(?:[$#] +)?(?:\w+=\S* +)*make((?: +[\w./=-]+)+)", re.MULTILINE)
COMMENT = re.compile(r"(?<=\S) +#.*")


def anchors(page: Path) -> list[str]:
    """Return the anchors that GitHub makes for the headings of a page: letters of any script stay."""
    found: dict[str, int] = {}
    ordered = []
    for heading in HEADING.findall(FENCE.sub("", page.read_text())):
        text = LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
        ordered.append(f"{anchor}-{found[anchor]}" if found[anchor] else anchor)
    return ordered


def broken_links(page: Path) -> Iterator[str]:
    """Yield the relative links of a page that lead nowhere."""
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def named_targets(page: Path) -> set[str]:
    """Return the make targets in the code spans and code blocks of a page."""
    text = page.read_text()
    blocks = "\n".join(FENCE.findall(text))
    spans = "\n".join(CODE_SPAN.findall(FENCE.sub("", text)))
    commands = MAKE.findall(COMMENT.sub("", f"{blocks}\n{spans}"))
    return {word for words in commands for word in words.split() if "=" not in word and not word.startswith(".")}


def first_cells(page: Path, heading: str) -> list[str]:
    """Return the first cells of the table below a heading."""
    section = re.split(r"^#+ ", page.read_text().partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_text().split()) <= 600


def test_the_map_of_the_code_names_every_module() -> None:
    tables = {"cni/cli", "cni/doctor/checks", "cni/doctor/chinese", "cni/doctor/collect"}  # one module for each row
    paths = [path for path in (ROOT / "cni").rglob("*.py") if str(path.parent.relative_to(ROOT)) not in tables]
    words = set(re.findall(r"\w+", (ROOT / "cni/README.md").read_text()))
    assert {path.stem for path in paths} - words - {"__init__", "__main__"} == set()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_is_as_wide_as_the_code(page: Path) -> None:
    lines = FENCE.sub("", page.read_text()).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.lstrip().startswith(("|", "!", "<!--"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named_targets(page) - targets == set()


def test_the_table_of_keys_has_every_key_of_the_ipam_object_and_no_other() -> None:
    cells = first_cells(ROOT / "docs/reference/configuration.md", "Keys of the ipam object")
    assert sorted(cell.strip("`") for cell in cells) == sorted(Ipam.__annotations__)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c\n## It's here, too\n## A b c\n[x](page.md#a-b-c-1) [x](#its-here-too) [x](https://x.org)\n"
    )
    assert list(broken_links(page)) == []
    page.write_text("# A\n[x](#b) [x](missing.md) [x](page.md#a)\n```\n[x](not-a-link)\n```\n")
    assert list(broken_links(page)) == ["#b", "missing.md"]


def test_a_make_target_is_found_in_spans_and_blocks_but_not_in_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "We make no claims. `REQUIRE_X=1 make one` `make two N=3` `install make gcc`\n"
        "```\n$ (make clean three) # make four\n$ make five && x\n```\n"
    )
    assert named_targets(page) == {"one", "two", "clean", "three", "five"}
