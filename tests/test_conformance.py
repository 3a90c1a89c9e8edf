"""The conformance runner's verdicts and complaints."""

from pathlib import Path

import pytest

from tests import conformance
from tests.vectors import load


def test_fails_a_program_that_says_nothing_on_all_but_the_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vectors = load()
    silent = len([vector for vector in vectors if vector.stdout is None])
    assert conformance.main(["/bin/true"]) == 1
    assert f"{silent} of {len(vectors)} vectors hold" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], [""], ["/nowhere/plugin"], ["/tmp"], ["/bin/true", "/bin/true"]])
def test_says_in_one_line_what_it_lacks(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_counts_a_program_that_never_answers_as_failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.vectors.TIME_LIMIT", 1)
    monkeypatch.setattr(conformance, "load", lambda: load()[:1])
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nsleep 60\n")
    sleeper.chmod(0o755)
    assert conformance.main([str(sleeper)]) == 1
    assert "0 of 1 vectors hold" in capsys.readouterr().out
