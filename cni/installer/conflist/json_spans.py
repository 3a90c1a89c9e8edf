"""JSON (RFC 8259) with positions: which part of a text each value takes, and where the text is wrong. Pure.

Python's `json` tells no positions, refuses integers of more than 4,300 digits, and recurses into nested values, so that
deep ones exhaust the stack. This parser keeps a stack of its own.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

BLANKS = " \t\n\r"
_WORD = re.compile(
    r'[ \t\n\r]*(?:(?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")'
    r"|(?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
    r"|(?P<mark>[\[\]{},:]))"
)


# What may come next, and how a person calls it.
_WANTED = {
    "value": "a value",
    "value or ]": "a value or ]",
    "key": "a key",
    "key or }": "a key or }",
    ":": "a colon",
    "more": "a comma or an end",
    "nothing": "the end",
}


class NotJsonError(ValueError):
    """The text is not JSON; the message names line and column."""


def place(text: str, position: int) -> str:
    """Return where a position is, as editors count: lines and columns (characters) from 1."""
    before = text[:position]
    return f"line {before.count(chr(10)) + 1}, column {position - before.rfind(chr(10))}"


class Value(NamedTuple):
    """A value and the part of the text that it takes.

    `content` is a tuple of (key, Value) for an object, a list of Values for an array, the text of a string, else None.
    """

    content: Any
    start: int
    end: int


class _Open(NamedTuple):
    """An object or array whose end has not been read yet."""

    is_object: bool
    start: int
    members: list[Any]
    keys: list[str]  # the key whose value is being read

    def add(self, value: Value) -> None:
        self.members.append((self.keys.pop(), value) if self.is_object else value)

    def closed(self, end: int) -> Value:
        return Value(tuple(self.members) if self.is_object else self.members, self.start, end)


def parse_spans(text: str) -> Value:
    """Parse a whole text. NotJsonError."""
    still_open: list[_Open] = []
    expected = "value"  # a key of _WANTED
    root: Value | None = None
    for kind, word, start, end in _words(text):
        done: Value | None = None
        if kind == "mark" and word in "{[" and expected.startswith("value"):
            still_open.append(_Open(word == "{", start, [], []))
            expected = "key or }" if word == "{" else "value or ]"
        elif kind == "mark" and word in "}]" and _may_close(word, expected, still_open):
            done = still_open.pop().closed(end)
        elif kind == "mark" and word == expected == ":":
            expected = "value"
        elif word == "," and expected == "more":
            expected = "key" if still_open[-1].is_object else "value"
        elif kind == "string" and expected.startswith("key"):
            still_open[-1].keys.append(json.loads(word))
            expected = ":"
        elif kind in ("string", "scalar") and expected.startswith("value"):
            done = Value(json.loads(word) if kind == "string" else None, start, end)
        else:
            raise NotJsonError(f"not JSON at {place(text, start)}: {_WANTED[expected]} is missing")
        if done and still_open:
            still_open[-1].add(done)
            expected = "more"
        elif done:
            root, expected = done, "nothing"
    if root is None:
        raise NotJsonError(f"not JSON: it ends too early, at {place(text, len(text))}")
    return root


def is_same(one: str, other: str) -> bool:
    """Compare two values: as JSON (in Python 1 == True), or as text where they are too huge or too deep for `json`."""
    if one == other:
        return True
    try:
        return json.dumps(json.loads(one), sort_keys=True) == json.dumps(json.loads(other), sort_keys=True)
    except (ValueError, RecursionError):
        return False


def _words(text: str) -> Iterator[tuple[str, str, int, int]]:
    position, end = 0, len(text.rstrip(BLANKS))
    while position < end:
        match = _WORD.match(text, position)
        if match is None or match.lastgroup is None:
            raise _no_word(text, position)
        yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup), match.end()
        position = match.end()


def _no_word(text: str, position: int) -> NotJsonError:
    """Return the error for what is no word of JSON, after the word that ends at this position."""
    start = len(text) - len(text[position:].lstrip(BLANKS))
    if text[start] == "\ufeff":
        hint = "a byte order mark (BOM) is there, remove it"
    elif text[start] == '"':
        hint = "this string has no end, or holds what must be escaped"
    else:
        hint = f"{text[start]!a} cannot stand there"
    return NotJsonError(f"not JSON at {place(text, start)}: {hint}")


def _may_close(word: str, expected: str, still_open: list[_Open]) -> bool:
    if not still_open or still_open[-1].is_object != (word == "}"):
        return False
    return expected in ("more", "key or }" if word == "}" else "value or ]")
