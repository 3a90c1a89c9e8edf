import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.plugin.json_text import encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_written_reads_back_equal_on_one_line(value: Any) -> None:
    written = encode(value)
    assert json.loads(written) == value
    assert len(written.decode().splitlines()) <= 1


def test_a_lone_surrogate_does_not_stop_the_answer() -> None:
    assert json.loads(encode({"a\ud800": "\udfff"})) == {"a?": "?"}


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({1.5})
