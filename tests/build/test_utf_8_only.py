"""The plugin's own `encodings` does for UTF-8 what the standard library's does, and knows no other codec."""

import io
import subprocess
import sys
from encodings import utf_8
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.build import recipes
from tests.requirements import ROOT

utf_8_only = recipes.load("utf_8_only")
sys.modules["io"] = io  # the module has replaced it, which is meant for an interpreter of its own

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
    assert utf_8_only.find("utf8")[0](text, errors)[0] == expected


@pytest.mark.parametrize("name", ["latin-1", "idna", "utf-16", "utf_8_sig", ""])
def test_there_is_no_other_codec(name: str) -> None:
    assert utf_8_only.find(name) is None


def test_the_interpreters_streams_and_files_work_with_it_alone(tmp_path: Path) -> None:
    library = tmp_path / f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    library.mkdir(parents=True)
    (library / "encodings.py").write_bytes((ROOT / "build/utf_8_only.py").read_bytes())
    file = tmp_path / "file"
    file.write_text("äö€𝄞\nß", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
assert not {{"codecs", "abc"}} & set(sys.modules)
with open({str(file)!r}) as text:
    assert text.read(2) == "äö"
    place = text.tell()
    assert text.readline() == "€𝄞\\n" and text.read() == "ß"
    text.seek(place)
    assert text.read(1) == "€"
with open({str(file)!r}, "a") as text:
    text.write("é")
print(sys.stdin.read(), "\\udc80".encode("utf-8", "surrogateescape"))
raise SystemExit("tschüß")
""")
    done = subprocess.run(
        [Path(sys.executable).resolve(), "-S", "-X", "utf8", script],
        env={"PYTHONHOME": str(tmp_path)},
        input="größe\n€".encode(),
        capture_output=True,
    )
    assert (done.stdout.decode(), done.stderr.decode()) == ("größe\n€ b'\\x80'\n", "tschüß\n")
    assert done.returncode == 1
    assert file.read_text(encoding="utf-8") == "äö€𝄞\nßé"
