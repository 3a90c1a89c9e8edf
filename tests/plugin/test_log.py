import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cni.plugin import log
from tests.requirements import ROOT


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_time_level_and_record(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log.write({"log_file_path": str(path)}, "info", {"command": "ADD", "msg": "two\nlines"})
    (line,) = lines(path)
    assert line["command"] == "ADD"
    assert time.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ")


def test_folders_are_made_and_the_file_is_0640(tmp_path: Path) -> None:
    path = tmp_path / "a/b/log"
    umask = os.umask(0)
    try:
        log.write({"log_file_path": str(path)}, "info", {})
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_below_the_level_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for level in ("info", "error"):
        log.write({"log_file_path": str(path), "log_level": "error"}, level, {"level_was": level})
    assert [line["level_was"] for line in lines(path)] == ["error"]


DISK_OF_300_BYTES = """
import resource, signal, sys
from cni.plugin import log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for size in (300, 300, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, 100_000))
    log.write({"log_file_path": sys.argv[1]}, "info", {"msg": "x" * 150})
"""


def test_a_line_that_a_full_disk_cuts_is_taken_back(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DISK_OF_300_BYTES, tmp_path / "log"], cwd=ROOT, check=True)
    assert [line["msg"] for line in lines(tmp_path / "log")] == ["x" * 150] * 2


@pytest.mark.parametrize("path", ["/dev/full", "/proc/nowhere/log", "a\x00b", "/dev/null/log", "x" * 5000, "/"])
def test_a_log_that_cannot_be_written_fails_nothing(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    warning = log.write({"log_file_path": path}, "error", {"msg": "x"})
    assert bool(warning) == (path in ("/dev/full", "/dev/null/log"))  # what is no log is told, what fails is not
