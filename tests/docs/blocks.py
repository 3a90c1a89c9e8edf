"""Reads the fenced blocks of a page. A block that a test runs says where, behind its language: ```sh router.

The block after it, if its language is `text`, is what it prints. Pure.
"""

import re
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w+) ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ELIDED = "[…]"  # alone, it stands for any number of lines; in a line, for any part of it
# What is another one each time that a command runs. Both sides are compared without it.
_VOLATILE = [
    (r"\d\d:\d\d:\d\d", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"(time=|time )[\d.]+ ?ms", r"\1TIME"),
    (r"= [\d./]+ ms", "= TIMES"),
    (r"(?m)^(\S+ +4 +\d+) +(?:\d+ +){5}TIME +\d+ +\d+ N/A$", r"\1 Established"),  # FRR's row of such a neighbour
    (r"\b\d+\.\d+\.\d+-[0-9a-f]{8}\b", "RELEASE"),
    (r"\d+ (ok|skipped)", r"SOME \1"),  # a new check of doctor is no reason to change a page
]


class Block(NamedTuple):
    """A block that a test runs."""

    line: int  # of the page, at which it begins
    place: str
    text: str
    printed: str | None  # None: the page does not say


def marked(page: str) -> list[Block]:
    """Return the blocks of a page that a test runs, in their order."""
    fences = list(_FENCE.finditer(page))
    found = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence[2]:
            printed = following[3] if following and following[1] == "text" else None
            found.append(Block(page.count("\n", 0, fence.start()) + 1, fence[2], fence[3], printed))
    return found


def is_as_said(said: str, printed: str) -> bool:
    """Tell whether something that was printed is what a page says."""
    gap = re.escape(_ELIDED)
    lines = [r"(?:.*\n)*?" if line == _ELIDED else re.escape(line).replace(gap, ".*") + r"\n" for line in _stable(said)]
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in _stable(printed))) is not None


def _stable(text: str) -> list[str]:
    for pattern, word in _VOLATILE:
        text = re.sub(pattern, word, text)
    return [line.rstrip() for line in text.strip().splitlines() if line.strip()]
