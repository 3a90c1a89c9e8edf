"""The pages of docs/ say the same in both languages, and none of them changes alone."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.docs import translated
from tests.docs.translated import README, RECORD, chinese, link_in_chinese, outdated, read_record
from tests.test_documents import CODE_SPAN, FENCE, LINK, ROOT, broken_links

TRANSLATED = sorted(read_record(ROOT)["translated"])
TITLES = {words["title"]["zh"] for words in yaml.safe_load((ROOT / "docs/pictures/labels.yaml").read_text()).values()}
IMAGE = re.compile(r"!\[([^\]]*)\]\(\S*pictures/\S+\)")
LIST_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) ", re.MULTILINE)
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
FIGURE = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)*)( million| thousand| ?[万亿])?")
UNITS = {"million": 1e6, "thousand": 1e3, "万": 1e4, "亿": 1e8}


class Section(NamedTuple):
    """A heading and what stands below it, down to the next heading."""

    level: int
    heading: str
    text: str


def sections(page: Path) -> list[Section]:
    """Return the sections of a page, with code blocks left out."""
    parts = re.split(r"^(#+) +(.+?) *$", FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    below = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return [Section(0, "", parts[0]), *(Section(len(marks), heading, text) for marks, heading, text in below)]


def spans(text: str) -> Counter[str]:
    return Counter(" ".join(span.split()) for span in CODE_SPAN.findall(text))


def figures(text: str) -> Counter[str]:
    """Count the figures of a text, whatever unit they are written in. 22.7 million is 2270 万."""
    prose = LIST_ITEM.sub("", LINK.sub(lambda link: link[0].partition("](")[0], CODE_SPAN.sub("", text)))
    return Counter(
        f"{float(figure) * UNITS[unit.strip()]:.0f}" if unit else figure
        for figure, unit in FIGURE.findall(prose.replace(",", ""))
    )


def shape(text: str) -> tuple[int, list[int]]:
    """Return how many items the lists of a text have, and how many cells each row of its tables."""
    return len(LIST_ITEM.findall(text)), [row.count("|") - row.count(r"\|") for row in ROW.findall(text)]


def links(text: str) -> Counter[str]:
    return Counter(LINK.findall(text))


def amounts(wanted: Counter[str], found: Counter[str]) -> Iterator[str]:
    """Say what one has and the other lacks."""
    yield from (f"lacks {what}" for what in (wanted - found).elements())
    yield from (f"has {what}, which the English page has not" for what in (found - wanted).elements())


def differences(root: Path, name: str) -> Iterator[str]:
    """Say in what a Chinese page differs from the English page of that name."""
    english, page = root / name, root / chinese(name)
    if FENCE.findall(english.read_text()) != FENCE.findall(page.read_text()):
        yield "the code blocks differ"
    for one, other in zip_longest(sections(english), sections(page)):
        if not (one and other and one.level == other.level):
            yield f"the headings differ: {one and one.heading!r} and {other and other.heading!r}"
            return
        wanted = Counter(link_in_chinese(root, name, link) for link in LINK.findall(one.text))
        found = [
            *amounts(spans(one.heading + "\n" + one.text), spans(other.heading + "\n" + other.text)),
            *amounts(wanted, links(other.text)),
            # Chinese may write a figure where English has a word.
            *(f"lacks the figure {figure}" for figure in (figures(one.text) - figures(other.text)).elements()),
            *(["has lists or tables of another size"] if shape(one.text) != shape(other.text) else []),
        ]
        yield from (f"{other.heading}: {difference}" for difference in found)


def pages(root: Path, folder: str) -> set[str]:
    """Return the pages in a folder of docs/, by the names of the English ones."""
    found = {str(path.relative_to(root / folder)) for path in (root / folder).rglob("*.md")}
    readme = {"docs": README, "docs/zh": chinese(README)}[folder]
    readmes = {README} if (root / readme).exists() else set()
    return readmes | {f"docs/{name}" for name in found if not name.startswith("zh/")}


def without_place(root: Path) -> Iterator[str]:
    """Say which pages have no other language, and are not in the list of those that may be so."""
    record = read_record(root)
    listed = [*record["translated"], *record["untranslated"], *record["english_only"]]
    yield from (f"{name} is listed twice" for name, times in Counter(listed).items() if times > 1)
    for name in sorted(pages(root, "docs") - set(listed)):
        yield f"translate {name} to {chinese(name)}, then run `python -m tests.docs.translated {name}`"
    for name in sorted(pages(root, "docs/zh") - record["translated"].keys()):
        yield f"{chinese(name)} is not recorded: run `python -m tests.docs.translated {name}`"
    for name in sorted(record["translated"].keys() - pages(root, "docs/zh")):
        yield f"{chinese(name)} is recorded in {RECORD}, and is not there"
    for name in sorted(record["translated"].keys() - pages(root, "docs")):
        yield f"{name} is not there, and {chinese(name)} is"


def test_both_languages_have_the_same_pages() -> None:
    assert list(without_place(ROOT)) == []


def test_no_english_page_has_changed_since_it_was_translated() -> None:
    assert outdated(ROOT) == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_both_languages_have_the_same_headings_code_links_and_figures(name: str) -> None:
    assert list(differences(ROOT, name)) == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_picture_is_told_in_the_words_of_its_title(name: str) -> None:
    assert set(IMAGE.findall((ROOT / chinese(name)).read_text())) <= TITLES


ENGLISH = """\
# One page
It takes 22.7 million steps, and ends with `a`. See [below](#the-rest) and [another](other.md#its-end).

## The rest
| Key | What |
|---|---|
| `b` | 3 s |

- one
- two

```console
$ c
```
"""
CHINESE = """\
# 一页
它需要 2270 万步，以 `a` 结束。参阅[下文](#其余-部分)和[另一页](../other.md#its-end)。

## 其余 部分
| 键 | 内容 |
|---|---|
| `b` | 3 秒 |

- 一
- 二

```console
$ c
```
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make documentation of two pages, of which one is translated."""
    (tmp_path / "docs/zh").mkdir(parents=True)
    (tmp_path / "docs/page.md").write_text(ENGLISH)
    (tmp_path / "docs/other.md").write_text("# Another\n## Its end\n")
    (tmp_path / "docs/zh/page.md").write_text(CHINESE)
    (tmp_path / RECORD).write_text("translated:\nuntranslated: [docs/page.md, docs/other.md]\nenglish_only: []\n")
    translated.record(tmp_path, "docs/page.md")
    return tmp_path


def everything(root: Path) -> list[str]:
    return [*without_place(root), *outdated(root), *differences(root, "docs/page.md")]


def test_two_pages_that_say_the_same_are_taken(root: Path) -> None:
    assert everything(root) == []
    assert list(broken_links(root / "docs/zh/page.md")) == []


@pytest.mark.parametrize(
    ("page", "old", "new", "said"),
    [
        ("docs/page.md", "One page", "A page", "docs/page.md has changed since docs/zh/page.md was translated"),
        ("docs/page.md", "$ c", "$ d", "docs/page.md has changed since docs/zh/page.md was translated"),
        ("docs/zh/page.md", "$ c", "$ d", "the code blocks differ"),
        ("docs/zh/page.md", "## 其余", "### 其余", "the headings differ: 'The rest' and '其余 部分'"),
        ("docs/zh/page.md", "## 其余 部分", "", "the headings differ: 'The rest' and None"),
        ("docs/zh/page.md", "`a`", "a", "一页: lacks a"),
        ("docs/zh/page.md", "`b`", "`b` `e`", "其余 部分: has e, which the English page has not"),
        ("docs/zh/page.md", "2270 万", "2280 万", "一页: lacks the figure 22700000"),
        ("docs/zh/page.md", "3 秒", "4 秒", "其余 部分: lacks the figure 3"),
        ("docs/zh/page.md", "- 二\n", "", "其余 部分: has lists or tables of another size"),
        ("docs/zh/page.md", "(#其余-部分)", "(#其余部分)", "一页: lacks #其余-部分"),
        ("docs/zh/page.md", "../other.md", "other.md", "一页: lacks ../other.md#its-end"),
    ],
)
def test_a_page_that_changes_alone_is_found(root: Path, page: str, old: str, new: str, said: str) -> None:
    text = (root / page).read_text()
    assert old in text
    (root / page).write_text(text.replace(old, new))
    assert any(difference.startswith(said) for difference in everything(root))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "docs/new.md").write_text("# New\n"), "translate docs/new.md to docs/zh/new.md"),
        (lambda root: (root / "docs/zh/other.md").write_text("# 另\n"), "docs/zh/other.md is not recorded"),
        (lambda root: (root / "docs/zh/page.md").rename(root / "docs/zh/x.md"), "docs/zh/page.md is recorded in"),
        (lambda root: (root / "docs/page.md").rename(root / "docs/x.md"), "docs/page.md is not there, and"),
    ],
)
def test_a_page_that_comes_or_goes_alone_is_found(root: Path, change: Callable[[Path], object], said: str) -> None:
    change(root)
    assert any(difference.startswith(said) for difference in without_place(root))


def test_once_a_page_is_translated_links_lead_to_its_chinese_page_and_heading(root: Path) -> None:
    (root / "docs/zh/other.md").write_text("# 另一页\n## 它的 `结尾`：\n")
    translated.record(root, "docs/other.md")
    assert any(difference.startswith("一页: lacks other.md#它的-结尾") for difference in everything(root))
    translated.lead_links(root, "docs/page.md")
    assert "[另一页](other.md#它的-结尾)" in (root / "docs/zh/page.md").read_text()
    assert everything(root) == []


def test_what_was_translated_again_is_recorded(root: Path) -> None:
    shutil.copy(root / "docs/page.md", root / "docs/zh/page.md")
    (root / "docs/page.md").write_text("# New\n")
    assert outdated(root) != []
    translated.record(root, "docs/page.md")
    assert outdated(root) == []


def test_the_readmes_lead_to_each_other_and_do_not_change_alone(root: Path) -> None:
    (root / "README.md").write_text("# It\n[中文](README.zh-CN.md) [page](docs/page.md)\n")
    (root / "README.zh-CN.md").write_text("# 它\n[English](README.md) [一页](docs/zh/page.md)\n")
    assert "translate README.md to README.zh-CN.md, then run `python -m tests.docs.translated README.md`" in list(
        without_place(root)
    )
    translated.record(root, "README.md")
    translated.lead_links(root, "README.md")
    assert [*without_place(root), *outdated(root), *differences(root, "README.md")] == []
    (root / "README.md").write_text("# It\n[中文](README.zh-CN.md)\n")
    assert [found.partition(" has changed")[0] for found in outdated(root)] == ["README.md"]
    assert list(differences(root, "README.md")) == ["它: has docs/zh/page.md, which the English page has not"]
