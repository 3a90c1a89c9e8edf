"""The forms of a line of watch's log, and which of them is taken."""

import json
import os
import pty
import re
import subprocess
import tempfile
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.installer import log_line
from cni.installer.log_line import ERROR, WARN
from tests.installer.sample_node import Node
from tests.requirements import ROOT

LINE = jsonschema_rs.validator_for(json.loads((ROOT / "spec/log/watch.schema.json").read_text()))
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
NAME = 'a "b" \\ \udcff \x9b\n<3>c'  # as a file may be called


@pytest.mark.parametrize(("level", "word"), [("", "info"), (WARN, "warn"), (ERROR, "error")])
def test_every_form_has_the_level(level: str, word: str) -> None:
    report = f"{level}all is … well"
    assert re.fullmatch(f"{MOMENT} {word}: all is … well", log_line.text(report))
    assert re.fullmatch(f'time={MOMENT} level={word} msg="all is … well"', log_line.logfmt(report))
    assert log_line.journal(report) == f"{level or '<6>'}all is … well"
    line = json.loads(log_line.as_json(report))
    LINE.validate(line)
    assert (line["level"], line["msg"]) == (word, "all is … well")


def test_a_name_can_neither_end_a_line_nor_begin_another_nor_be_obeyed_by_a_terminal() -> None:
    for form in (log_line.text, log_line.logfmt, log_line.as_json, log_line.journal):
        assert form(NAME).isprintable()
    assert log_line.journal(NAME) == '<6>a "b" \\ \\udcff \\x9b\\n<3>c'
    quoted = log_line.logfmt(NAME).partition("msg=")[2]
    assert json.loads(quoted) == json.loads(log_line.as_json(NAME))["msg"] == NAME.replace("\udcff", "\\udcff")


@given(st.text(alphabet=st.characters(categories=None)))
def test_any_text_is_one_line_of_valid_json_and_logfmt(text: str) -> None:
    LINE.validate(json.loads(log_line.as_json(text).encode()))
    line = log_line.logfmt(text)
    assert line.isprintable()
    assert isinstance(json.loads(line.partition("msg=")[2]), str)


def test_the_journal_is_known_by_what_systemd_says_of_it() -> None:
    reading, writing = os.pipe()
    status = os.fstat(writing)
    journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    assert log_line.choose("auto", writing, journal) is log_line.journal
    # stderr of the unit may lead elsewhere than stdout, and what the unit starts inherits the variable.
    with tempfile.TemporaryFile() as file:
        assert log_line.choose("auto", file.fileno(), journal) is log_line.logfmt
    assert log_line.choose("auto", writing, {}) is log_line.logfmt
    assert log_line.choose("auto", -1, journal) is log_line.logfmt
    assert log_line.choose("json", writing, journal) is log_line.as_json
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("options", "form"),
    [([], "text"), (["--log-format=logfmt"], "logfmt"), (["--log-format=json"], "json")],
)
def test_a_terminal_gets_text_unless_it_is_told_otherwise(options: list[str], form: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = Node(tmp_path).command("watch", *options, frozen=False)
    done = subprocess.run(command, stderr=theirs, timeout=30)
    os.close(theirs)
    line = os.read(ours, 65536).decode().strip()
    os.close(ours)
    assert done.returncode == 1
    begins = {
        "text": f"{MOMENT} error: nothing",
        "logfmt": f'time={MOMENT} level=error msg="nothing',
        "json": '{"time": ',
    }
    assert re.match(begins[form], line), line
