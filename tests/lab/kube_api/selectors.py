"""Label and field selectors, as lists and watches take them. Pure."""

import re
from collections.abc import Callable, Mapping

from tests.lab.kube_api.objects import Object
from tests.lab.kube_api.status_errors import bad_request

Match = Callable[[Object], bool]
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*)?(?P<key>[\w./-]+)\s*"
    r"(?:(?P<in>notin|in)\s*\((?P<set>[^)]*)\)|(?P<equals>==|=|!=)\s*(?P<value>[^,]*?))?\s*(?:,|$)"
)
_FIELD = re.compile(r"\s*(?P<path>[^=!]+?)\s*(?P<equals>==|=|!=)(?P<value>.*)")


def selector(query: Mapping[str, str]) -> Match:
    """Return what the selectors of a query ask of an object; raise StatusError for one that is none."""
    tests = [*_label_tests(query.get("labelSelector", "")), *_field_tests(query.get("fieldSelector", ""))]
    return lambda document: all(test(document) for test in tests)


def _label_tests(text: str) -> list[Match]:
    tests, position = [], 0
    while position < len(text):
        found = _REQUIREMENT.match(text, position)
        if not found:
            raise bad_request(f"unable to parse requirement: {text[position:]!r}")
        tests.append(_label_test(found))
        position = found.end()
    return tests


def _label_test(found: re.Match[str]) -> Match:
    key = found["key"]
    if found["in"]:
        values = {value.strip() for value in found["set"].split(",")}
    elif found["equals"]:
        values = {found["value"].strip()}
    else:
        return lambda document: (key in _labels(document)) != bool(found["absent"])
    negated = "notin" in (found["in"] or "") or found["equals"] == "!="
    return lambda document: (_labels(document).get(key) in values) != negated


def _labels(document: Object) -> dict[str, str]:
    return document["metadata"].get("labels") or {}


def _field_tests(text: str) -> list[Match]:
    return [_field_test(part) for part in text.split(",") if part]


def _field_test(part: str) -> Match:
    found = _FIELD.fullmatch(part)
    if not found:
        raise bad_request(f"invalid field selector: {part!r}")
    path, value, negated = found["path"].split("."), found["value"].strip(), found["equals"] == "!="
    return lambda document: (_field(document, path) == value) != negated


def _field(document: Object, path: list[str]) -> str:
    """Return what a field holds, as text; nothing is ""."""
    value: object = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
