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
