"""pydantic-core's extension without pydantic: what it accepts, what it says of the rest, and how it is loaded."""

import _imp
import json
import subprocess
import sys
from pathlib import Path

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.plugin._validators import NETCONF
from cni.plugin.validation import Invalid, validate
from tests.requirements import ROOT

LENGTHS = {"type": "list", "items_schema": {"type": "int", "le": 9}}

LOAD = """
import sys
sys.path[:0] = {path!r}
from cni.plugin import validation
try:
    print(validation.validate({{"type": "str"}}, b'"text"'))
except ImportError as error:
    print(error)
print(sorted(name for name in ("types", "datetime", "typing", "re", "enum") if name in sys.modules))
"""


def load(*path: str) -> list[str]:
    """Validate in an interpreter that has nothing but these folders, as the plugin's; return its lines."""
    script = LOAD.format(path=[str(ROOT), *path])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
    return done.stdout.splitlines() + done.stderr.splitlines()


def test_a_document_that_keeps_its_contract_comes_back_parsed() -> None:
    assert validate(LENGTHS, b"[1, 2]") == [1, 2]


def test_all_faults_are_told_in_one_line_with_their_places() -> None:
    with pytest.raises(Invalid) as raised:
        validate(LENGTHS, b'[1, "x", 10]')
    assert [where for where, _, _ in raised.value.errors] == [(1,), (2,)]
    line = raised.value.one_line()
    assert line.startswith("1: Input should be a valid integer")
    assert "; 2: Input should be less than or equal to 9" in line


def test_what_is_no_json_is_told_without_a_place() -> None:
    with pytest.raises(Invalid) as raised:
        validate(LENGTHS, b"[1")
    assert raised.value.errors[0][:2] == ((), "json_invalid")
    assert raised.value.one_line().startswith("Invalid JSON")


def test_our_own_rules_speak_for_themselves() -> None:
    with pytest.raises(Invalid) as raised:
        validate(NETCONF, json.dumps({"name": "n", "ipam": {"log_level": "loud"}}).encode())
    assert raised.value.one_line() == "ipam.log_level: must be one of debug, info, warn, error, panic, fatal"


def test_the_document_is_not_repeated_because_it_may_hold_secrets() -> None:
    with pytest.raises(Invalid) as raised:
        validate(LENGTHS, b'["hunter2"]')
    assert "hunter2" not in str(raised.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_accepted_or_invalid(document: bytes) -> None:
    try:
        assert isinstance(validate(LENGTHS, document), list)
    except Invalid as invalid:
        assert invalid.one_line()


def test_the_extension_is_loaded_alone_and_its_stand_ins_are_taken_away() -> None:
    assert load(str(Path(pydantic_core.__file__).parents[1])) == ["text", "[]"]


def test_a_bundle_without_the_extension_says_so() -> None:
    assert load()[0] == "no /pydantic_core/_pydantic_core" + _imp.extension_suffixes()[0] + (
        " on sys.path: the bundle is incomplete"
    )
