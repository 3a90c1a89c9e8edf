"""watch's log is read out of the journal; a journalctl of the test's stands in where none has the unit's lines.

tests/build/test_real_systemd.py reads it out of a real journal.
"""

import os
from pathlib import Path

import pytest

from cni.doctor.collect import watch_log
from cni.installer.errors import InstallerError
from tests.requirements import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def journalctl(folder: Path, script: str) -> None:
    (folder / "journalctl").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "journalctl").chmod(0o755)


def test_the_last_lines_of_the_units_log_are_read(folder: Path) -> None:
    journalctl(folder, f'echo "$*" >{folder}/arguments; echo one; printf "%01500d\\n" 7; printf "\\377\\n"')
    one, long, broken = watch_log.read(Path("/host"))
    assert (one, len(long), broken) == ("one", 1000, "\\xff")
    told = (folder / "arguments").read_text().split()
    assert "--root=/host" in told
    assert "--unit=spiderpool-ipam-watch.service" in told


def test_the_unit_is_that_of_install_sh() -> None:
    assert f"\nservice={watch_log._UNIT}\n" in (ROOT / "build/install.sh").read_text()


def test_without_a_journal_it_says_where_the_log_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(InstallerError, match="kubectl logs"):
        watch_log.read(Path("/"))


def test_a_journal_that_fails_or_hangs_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journalctl(folder, "exit 3")
    with pytest.raises(InstallerError, match="exit status 3"):
        watch_log.read(Path("/"))
    monkeypatch.setattr(watch_log, "_TIMEOUT", 0.2)
    journalctl(folder, "exec sleep 30")
    with pytest.raises(InstallerError, match="has not answered"):
        watch_log.read(Path("/"))
