"""The pictures of the documentation are what their sources say, in both languages, and can be read on any page."""

import re
import runpy
import subprocess
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import requirements
from tests.requirements import ROOT

PICTURES = ROOT / "docs/pictures"
LABELS: dict[str, Any] = yaml.safe_load((PICTURES / "labels.yaml").read_text())
SUFFIXES = {"en": ".svg", "zh": ".zh.svg"}
SCRIPT = runpy.run_path(str(ROOT / "build/pictures.py"))
# WCAG 2 asks for this contrast between words and what is behind them.
CONTRAST = 4.5


def words(svg: str) -> list[str]:
    return [unescape(text).strip() for text in re.findall(r"<text [^>]*>(.*?)</text>", svg)]


def labels(name: str, language: str) -> list[str]:
    """Return the lines of words that a picture has to hold, one for each place in which its source has a label."""
    placed = re.findall(r'label="\$(\w+)"', (PICTURES / f"{name}.dot").read_text())
    return [line for label in placed for line in LABELS[name][label][language].strip().splitlines()]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_each_source_has_labels_and_a_picture_in_each_language_and_nothing_else_is_there() -> None:
    names = {path.stem for path in PICTURES.glob("*.dot")}
    assert names == set(LABELS)
    drawn = {name + suffix for name, suffix in product(names, SUFFIXES.values())}
    assert {path.name for path in PICTURES.glob("*.svg")} == drawn


@pytest.mark.parametrize("name", LABELS)
def test_each_label_has_words_in_both_languages_and_a_place(name: str) -> None:
    assert [
        label for label, text in LABELS[name].items() if not (text.keys() == SUFFIXES.keys() and all(text.values()))
    ] == []
    placed = set(re.findall(r"\$(\w+)", (PICTURES / f"{name}.dot").read_text()))
    assert LABELS[name].keys() - placed == {"title"}


@pytest.mark.parametrize(("name", "language"), list(product(LABELS, SUFFIXES)))
def test_a_picture_has_the_words_of_the_table(name: str, language: str) -> None:
    svg = (PICTURES / (name + SUFFIXES[language])).read_text()
    assert sorted(words(svg)) == sorted(labels(name, language))
    assert f'aria-label="{LABELS[name]["title"][language]}"' in svg


@pytest.mark.parametrize("path", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.name)
def test_words_are_dark_on_a_light_card_so_that_any_page_may_be_behind_it(path: Path) -> None:
    svg = path.read_text()
    inks = set(re.findall(r'<text [^>]*fill="(#\w{6})"', svg))
    shapes = re.findall(r'<(?:polygon|path) fill="(#\w{6})" stroke="([^"]*)"', svg)
    behind = {fill for fill, stroke in shapes if fill != stroke}  # they are the same in the heads of arrows
    assert inks and "#f6f8fa" in behind
    assert [(ink, paper) for ink, paper in product(inks, behind) if contrast(ink, paper) < CONTRAST] == []


@pytest.mark.parametrize("name", LABELS)
def test_a_page_shows_the_picture_and_says_in_words_what_it_shows(name: str) -> None:
    shown = f"![{LABELS[name]['title']['en']}](../pictures/{name}.svg)"
    assert [path.name for path in (ROOT / "docs").glob("*/*.md") if shown in path.read_text()] != []


def test_the_pictures_are_drawn_the_same_again() -> None:
    program = requirements.need_program("dot")
    version = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    if SCRIPT["VERSION"] not in version:
        requirements.missing(f"the pictures are drawn by graphviz {SCRIPT['VERSION']}, and this is {version.strip()}")
    families = subprocess.run(
        [requirements.need_program("fc-list"), ":", "family"], capture_output=True, text=True, check=True
    ).stdout
    for family, package in (("DejaVu Sans", "fonts-dejavu-core"), ("Noto Sans CJK SC", "fonts-noto-cjk")):
        if family not in families:
            requirements.missing(f"there is no font {family}: apt-get install {package}")
    assert [path.name for path, text in SCRIPT["pictures"]() if path.read_text() != text] == []
