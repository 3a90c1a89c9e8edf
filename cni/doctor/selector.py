"""Calico's selectors of labels: whether one matches. Pure.

libcalico-go/lib/selector: ==, !=, in, not in, contains, starts with, ends with, has(), all(), !, &&, || and brackets.
"""

import re
from collections.abc import Callable, Mapping

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"[^"]*"|'[^']*')
    | (?P<has>has\(\s*(?P<key>[\w./-]+)\s*\))
    | (?P<all>(?:all|global)\(\s*\))
    | (?P<operator>==|!=|&&|\|\||[!(){},]|not\s+in\b|in\b|contains\b|starts\s+with\b|ends\s+with\b)
    | (?P<label>[\w./-]+)
    )""",
    re.VERBOSE,
)
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "==": str.__eq__,
    "contains": str.__contains__,
    "starts with": str.startswith,
    "ends with": str.endswith,
}


class SelectorError(ValueError):
    """It is no selector."""


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Tell whether a selector matches an object with these labels; an empty one matches all. SelectorError."""
    if not selector.strip():
        return True
    parser = _Parser(selector, labels)
    found = parser.any_of()
    if parser.tokens:
        raise SelectorError(f"{selector!r}: {parser.tokens[0][1]!r} is not expected")
    return found


class _Parser:
    def __init__(self, selector: str, labels: Mapping[str, str]) -> None:
        self._selector, self._labels = selector, labels
        self.tokens = list(_tokens(selector))

    def any_of(self) -> bool:
        found = self._all_of()
        while self._take("||"):
            found = self._all_of() or found
        return found

    def _all_of(self) -> bool:
        found = self._one()
        while self._take("&&"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if self._take("!"):
            return not self._one()
        if self._take("("):
            found = self.any_of()
            self._require(")")
            return found
        kind, text = self._next()
        if kind == "all":
            return True
        if kind == "has":
            return text in self._labels
        if kind != "label":
            raise SelectorError(f"{self._selector!r}: {text!r} is not expected")
        return self._comparison(self._labels.get(text))

    def _comparison(self, value: str | None) -> bool:
        _, operator = self._next()
        if operator in ("in", "not in"):
            found = value in self._set()
            return found if operator == "in" else not found
        kind, text = self._next()
        if kind != "text":
            raise SelectorError(f"{self._selector!r}: a text in quotes is expected after {operator}")
        if operator == "!=":
            return value != text
        if operator not in _COMPARISONS:
            raise SelectorError(f"{self._selector!r}: {operator!r} is not expected")
        return value is not None and _COMPARISONS[operator](value, text)

    def _set(self) -> set[str]:
        self._require("{")
        found = set()
        while not self._take("}"):
            kind, text = self._next()
            if kind != "text":
                raise SelectorError(f"{self._selector!r}: {text!r} is not expected in a set")
            found.add(text)
            self._take(",")
        return found

    def _take(self, operator: str) -> bool:
        if self.tokens[:1] == [("operator", operator)]:
            self.tokens.pop(0)
            return True
        return False

    def _require(self, operator: str) -> None:
        if not self._take(operator):
            raise SelectorError(f"{self._selector!r}: {operator!r} is missing")

    def _next(self) -> tuple[str, str]:
        if not self.tokens:
            raise SelectorError(f"{self._selector!r} ends too early")
        return self.tokens.pop(0)


def _tokens(selector: str) -> "list[tuple[str, str]]":
    found, place = [], 0
    while selector[place:].strip():
        match = _TOKEN.match(selector, place)
        if match is None:
            raise SelectorError(f"{selector!r}: {selector[place:].strip()[:20]!r} is not understood")
        place = match.end()
        if match["text"]:
            found.append(("text", match["text"][1:-1]))
        elif match["has"]:
            found.append(("has", match["key"]))
        else:
            kind = next(kind for kind in ("all", "operator", "label") if match[kind])
            found.append((kind, " ".join(match[kind].split())))
    return found
