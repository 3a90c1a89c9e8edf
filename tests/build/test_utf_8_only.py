"""The plugin's own `encodings`: as the standard library's for UTF-8, nothing for anything else."""

import codecs
import importlib.util
from encodings import utf_8

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.requirements import ROOT

_spec = importlib.util.spec_from_file_location("utf_8_only", ROOT / "build/utf_8_only.py")
assert _spec and _spec.loader
utf_8_only = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(utf_8_only)

PIECES = st.lists(st.binary(max_size=4) | st.text(max_size=3).map(lambda text: text.encode()[:-1]), max_size=6)


@given(PIECES, st.sampled_from(["replace", "surrogateescape", "ignore"]))
def test_bytes_in_any_pieces_decode_as_the_standard_librarys_do(pieces: list[bytes], errors: str) -> None:
    ours, standard = utf_8_only.find("utf-8").incrementaldecoder(errors), utf_8.IncrementalDecoder(errors)
    for piece in pieces:
        assert ours.decode(piece) == standard.decode(piece)
    assert ours.decode(b"", True) == standard.decode(b"", True)


@given(st.text() | st.just("\udc80"), st.sampled_from(["replace", "surrogateescape", "backslashreplace"]))
def test_texts_encode_as_the_standard_librarys_do(text: str, errors: str) -> None:
    expected = text.encode("utf-8", errors)
    assert utf_8_only.find("utf-8").incrementalencoder(errors).encode(text) == expected
    assert utf_8_only.find("utf8").encode(text, errors)[0] == expected


@pytest.mark.parametrize("name", ["latin-1", "idna", "utf-16", "utf_8_sig", ""])
def test_there_is_no_other_codec(name: str) -> None:
    assert utf_8_only.find(name) is None
    assert isinstance(utf_8_only.find("utf_8"), codecs.CodecInfo)
