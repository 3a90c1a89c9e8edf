import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.installer.conflist.json_spans import NotJsonError, Value, parse_spans

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def rebuilt(value: Value, text: str) -> Any:
    """Build the value from the spans alone."""
    if isinstance(value.content, tuple):
        return {key: rebuilt(member, text) for key, member in value.content}
    if isinstance(value.content, list):
        return [rebuilt(member, text) for member in value.content]
    return json.loads(text[value.start : value.end])


@given(VALUES, st.sampled_from([None, 0, 3, "\t"]), st.booleans(), st.text(" \n\r\t", max_size=3))
def test_the_spans_hold_what_the_standard_library_reads(value: Any, indent: Any, ascii_only: bool, blanks: str) -> None:
    text = blanks + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + blanks
    root = parse_spans(text)
    assert rebuilt(root, text) == value
    assert text[root.start : root.end] == text.strip(" \n\r\t")


@given(st.text('{}[]:,"\\0123456789.eE+-truefalsn \n', max_size=12))
def test_it_takes_and_refuses_what_the_standard_library_does(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda name: json.loads("?"))
        legal = True
    except ValueError:
        legal = False
    try:
        parse_spans(text)
        assert legal
    except NotJsonError:
        assert not legal


@pytest.mark.parametrize("depth", [10, 100_000])
def test_depth_is_no_obstacle(depth: int) -> None:
    assert parse_spans("[" * depth + "]" * depth).end == 2 * depth


def test_neither_is_a_number_of_5000_digits() -> None:
    assert parse_spans("9" * 5000).end == 5000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{\n  "a": 1,\n  "b" 2\n}', "not JSON at line 3, column 7: a colon is missing"),
        ('{\r\n  "a": 1\r\n  "b": 2\r\n}', "not JSON at line 3, column 3: a comma or an end is missing"),
        ('{"a": 1,}', "not JSON at line 1, column 9: a key is missing"),
        ("[1, ]", "not JSON at line 1, column 5: a value is missing"),
        ("{} {}", "not JSON at line 1, column 4: the end is missing"),
        ('{"ä": é}', "not JSON at line 1, column 7: '\\xe9' cannot stand there"),
        ("\n\n // x\n{}", "not JSON at line 3, column 2: '/' cannot stand there"),
        ("{'a': 1}", 'not JSON at line 1, column 2: "\'" cannot stand there'),
        ("\0" * 100, "not JSON at line 1, column 1: '\\x00' cannot stand there"),
        ("\ufeff{}", "not JSON at line 1, column 1: a byte order mark (BOM) is there, remove it"),
        ('{\n"a\nb": 1}', "not JSON at line 2, column 1: this string has no end, or holds what must be escaped"),
        ('{\n "a": [', "not JSON: it ends too early, at line 2, column 8"),
        ("", "not JSON: it ends too early, at line 1, column 1"),
    ],
)
def test_a_fault_is_told_by_line_and_column(text: str, fault: str) -> None:
    with pytest.raises(NotJsonError) as raised:
        parse_spans(text)
    assert str(raised.value) == fault
