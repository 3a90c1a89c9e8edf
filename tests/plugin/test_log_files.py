"""What the plugin appends to: logs, and nothing else that the configuration may name by mistake or somebody may put
there."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.plugin import log
from tests import requirements
from tests.waiting import SLACK, wait_for

MEGABYTE = 2**20
THE_GO_PLUGINS = '{"level":"INFO","ts":"2026-11-25T10:00:00.000Z","msg":"Generate IPAM configuration"}\n'


def write(path: Path, size: int = 100) -> str:
    """Log one line; return the warning."""
    return log.write({"log_file_path": str(path), "log_file_max_size": size}, "info", {"a": 1})


def messages(path: Path) -> int:
    return len([line for line in path.read_text().splitlines() if json.loads(line).get("a")])


@pytest.mark.parametrize("before", [None, "", THE_GO_PLUGINS], ids=["no file", "empty", "the Go plugin's"])
def test_a_new_an_empty_and_the_go_plugins_log_are_appended_to(before: str | None, tmp_path: Path) -> None:
    path = tmp_path / "log"
    if before is not None:
        path.write_text(before)
    assert write(path) == ""
    assert messages(path) == 1
    assert path.read_text().startswith(before or "{")


def link(path: Path) -> None:
    path.with_name("target").write_text("{}\n")
    path.symlink_to("target")


def executable(path: Path) -> None:
    path.write_text("{" + " " * 2 * MEGABYTE)
    path.chmod(0o700)


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a program": (executable, "is executable"),
    "a program's bytes": (lambda path: path.write_bytes(b"\x7fELF" + bytes(2 * MEGABYTE)), "its first byte is not {"),
    "a text": (lambda path: path.write_text("root:x:0:0\n"), "its first byte is not {"),
    "a blank before {": (lambda path: path.write_text(" {}"), "its first byte is not {"),
    "a FIFO": (os.mkfifo, "is no regular file"),
    "a folder": (Path.mkdir, "is a folder"),
    "a symbolic link": (link, "is a symbolic link"),
    "a socket": (bind, "is a socket"),
    "a device": (lambda path: requirements.make_device(path, 7), "is no regular file"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_log_is_neither_written_to_nor_set_aside_and_that_is_said(kind: str, tmp_path: Path) -> None:
    requirements.need_root()
    make, reason = OTHERS[kind]
    path = tmp_path / "log"
    make(path)
    before = {entry.name: (entry.lstat().st_size, entry.lstat().st_mtime_ns) for entry in tmp_path.iterdir()}
    started = time.monotonic()
    warning = write(path, size=1)
    assert time.monotonic() - started < SLACK, "nothing holds the call"
    assert warning == f"nothing is logged: {path} {reason}" or warning.endswith(f"{path} is no log: {reason}")
    after = {entry.name: (entry.lstat().st_size, entry.lstat().st_mtime_ns) for entry in tmp_path.iterdir()}
    assert after == before


def test_a_program_that_runs_is_not_written_to(tmp_path: Path) -> None:
    requirements.need_no_emulator("it is what /proc names as the program of each process")
    program = tmp_path / "log"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as running:
        wait_for(lambda: Path(f"/proc/{running.pid}/exe").resolve() == program, "the program")
        assert write(program) == f"nothing is logged: {program} is a program that runs"
        running.kill()


def test_dev_null_switches_logging_off_without_a_word() -> None:
    assert write(Path("/dev/null")) == ""


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder for the log behind two links, the second of which is relative; all belong to root."""
    requirements.need_root()
    (tmp_path / "target").mkdir()
    (tmp_path / "second").symlink_to("target")
    (tmp_path / "folder").symlink_to(tmp_path / "second")
    return tmp_path / "folder"


def test_a_folder_behind_links_is_followed_where_all_belong_to_root(linked: Path) -> None:
    assert write(linked / "log") == ""
    assert messages(linked.with_name("target") / "log") == 1


def test_a_log_behind_links_is_set_aside_there(linked: Path) -> None:
    (linked / "log").write_text("{" * (MEGABYTE - 1) + "\n")
    assert write(linked / "log", size=1) == ""
    (aside,) = linked.with_name("target").iterdir()
    assert aside.name.startswith("log-")


@pytest.mark.parametrize("owned", ["folder", "second", "target"])
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_folder_behind_links_is_not_followed_where_one_belongs_to_somebody_else(
    owned: str, slashes: str, linked: Path
) -> None:
    os.chown(linked.with_name(owned), 1000, 1000, follow_symlinks=False)
    warning = log.write({"log_file_path": f"{linked}{slashes}log"}, "info", {})
    assert warning.startswith(f"nothing is logged: {linked} is a symbolic link, and ")
    assert warning.endswith(f"/{owned} does not belong to root")
    assert list(linked.with_name("target").iterdir()) == []


def test_a_slash_at_the_end_of_a_link_does_not_hide_whose_the_next_one_is(tmp_path: Path) -> None:
    requirements.need_root()
    (tmp_path / "target").mkdir()
    (tmp_path / "second").symlink_to("target")
    (tmp_path / "folder").symlink_to(f"{tmp_path}/second/")
    os.chown(tmp_path / "second", 1000, 1000, follow_symlinks=False)
    assert write(tmp_path / "folder/log").endswith("/second does not belong to root")


def test_links_that_lead_nowhere_or_in_a_circle_are_told(tmp_path: Path) -> None:
    requirements.need_root()
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "circle").symlink_to("circle")
    assert write(tmp_path / "nowhere/log").endswith("is a symbolic link, and there is no " + str(tmp_path / "gone"))
    assert write(tmp_path / "circle/log").endswith("is one of too many symbolic links")
