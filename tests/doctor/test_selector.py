"""Calico's selectors."""

import pytest

from cni.doctor.selector import SelectorError, matches

LABELS = {"kubernetes.io/hostname": "node1", "zone": "a"}


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "all()",
        "global()",
        "has(zone)",
        "!has(other)",
        "zone == 'a'",
        'kubernetes.io/hostname == "node1"',
        "zone != 'b'",
        "other != 'b'",
        "zone in {'a', 'b'}",
        "zone not in {'b'}",
        "other not in { 'b' }",
        "kubernetes.io/hostname starts with 'node'",
        "kubernetes.io/hostname ends with '1'",
        "kubernetes.io/hostname contains 'de'",
        "has(other) || zone == 'a' && !(zone == 'b')",
        "(has(other) || has(zone)) && all()",
    ],
)
def test_it_matches(selector: str) -> None:
    assert matches(selector, LABELS)


@pytest.mark.parametrize(
    "selector", ["has(other)", "zone == 'b'", "other == 'a'", "zone in {}", "other contains 'a'", "!all()"]
)
def test_it_does_not_match(selector: str) -> None:
    assert not matches(selector, LABELS)


@pytest.mark.parametrize(
    "selector", ["zone", "zone = 'a'", "zone == a", "(all()", "all() all()", "has zone", "zone in 'a'", "&&", "$"]
)
def test_it_is_no_selector(selector: str) -> None:
    with pytest.raises(SelectorError):
        matches(selector, LABELS)
