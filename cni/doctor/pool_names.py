"""What the annotations say that name SpiderPool's pools: items for interfaces, names, and patterns of names. Pure.

SpiderPool 1.2.2: pkg/ipam/pool_selections.go and utils.go. Its patterns are those of Go's path/filepath.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from cni.contracts.pool_annotations import CONTRACTS, IPPOOL, IPPOOLS, Item
from cni.installer.errors import first_fault

ETH0 = "eth0"
_KEYS: Mapping[int, Literal["ipv4", "ipv6"]] = {4: "ipv4", 6: "ipv6"}
_CHARACTER = r"(?:\\.|[^\\\]-])"
_TERM = re.compile(
    rf"""(?P<stars>\*+) | (?P<any>\?) | (?P<literal>\\.|[^\\*?\[])
    | \[(?P<negation>\^?+)(?P<ranges>(?:{_CHARACTER}(?:-{_CHARACTER})?+)+)\]""",
    re.VERBOSE | re.DOTALL,
)
_STAR = "[^/]*"
_RANGE = re.compile(rf"({_CHARACTER})(?:-({_CHARACTER}))?+", re.DOTALL)


class AnnotationError(ValueError):
    """What is wrong with an annotation."""

    def __init__(self, key: str, text: str) -> None:
        """Say it of the annotation of this key."""
        super().__init__(text)
        self.key = key


def parsed(key: str, text: str) -> Any:
    """Return what an annotation says. AnnotationError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(key, f"it is not JSON: {error}") from None
    try:
        return CONTRACTS[key].validate_python(value, strict=True)
    except ValidationError as error:
        raise AnnotationError(key, f"it has another shape than SpiderPool reads: {first_fault(error)}") from None


def items(key: str, text: str) -> list[tuple[str, Item]]:
    """Return the items of a pod's annotation, each with its interface: "" where none is named. AnnotationError."""
    if key == IPPOOL:
        return [(ETH0, parsed(IPPOOL, text))]
    found: list[Item] = parsed(IPPOOLS, text)
    names = [item.get("interface", "") for item in found]
    _check_interfaces(names)
    return list(zip(names if any(names) else [ETH0, *names[1:]], found, strict=True))


def _check_interfaces(names: Sequence[str]) -> None:
    """Check what validateAndMutateMultipleNICAnnotations checks. AnnotationError."""
    if not names:
        raise AnnotationError(IPPOOLS, "it has no item")
    if any(names) and not all(names):
        raise AnnotationError(IPPOOLS, "some of its items name an interface, and others do not")
    for name in names:
        if name and names.count(name) > 1:
            raise AnnotationError(IPPOOLS, f"it names the interface {name} more than once")
    if all(names) and ETH0 not in names:
        raise AnnotationError(IPPOOLS, f"it names the interfaces {', '.join(names)}, and not {ETH0}")


def names_of(item: Item, family: int) -> list[str]:
    """Return the names or patterns that an item has for a family."""
    return list(item.get(_KEYS[family], []))


def is_pattern(name: str) -> bool:
    """Tell whether SpiderPool takes a name for a pattern."""
    return "*" in name or "?" in name or ("[" in name and "]" in name)


def matching(key: str, pattern: str, names: Sequence[str]) -> list[str]:
    """Return the names that match a pattern. AnnotationError, if it is none of Go's."""
    expression = re.compile(_expression(_terms(key, pattern)), re.DOTALL)
    return [name for name in names if expression.fullmatch(name)]


def _expression(terms: Iterable[str]) -> str:
    """Return a regular expression, of a pattern's terms.

    What is between two stars is looked for once, where it is first: to try each place takes years, and anybody may
    annotate a pod.
    """
    parts = [""]
    for term in terms:
        if term == _STAR:
            parts.append("")
        else:
            parts[-1] += term
    if len(parts) == 1:
        return parts[0]
    first, *between, last = parts
    return first + "".join(f"(?>[^/]*?{one})" for one in between) + f"[^/]*{last}"


def _terms(key: str, pattern: str) -> Iterator[str]:
    """Yield a pattern as parts of a regular expression. AnnotationError."""
    place = 0
    while place < len(pattern):
        term = _TERM.match(pattern, place)
        if term is None:
            raise AnnotationError(key, f"{pattern} is no pattern")
        place = term.end()
        if term["ranges"]:
            yield f"[{term['negation']}\0{''.join(_ranges(term['ranges']))}]"  # no name has a \0
        elif term["literal"]:
            yield re.escape(term["literal"][-1])
        else:
            yield _STAR if term["stars"] else "[^/]"


def _ranges(text: str) -> Iterator[str]:
    for first, last in _RANGE.findall(text):
        low, high = first[-1], (last or first)[-1]
        if low <= high:
            yield f"{re.escape(low)}-{re.escape(high)}"
