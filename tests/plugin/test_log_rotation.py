import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.plugin import log, log_rotation
from tests import requirements

MEGABYTE = 2**20
NAME = r"spiderpool-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log"
WRITER = """
import sys
from cni.plugin import log
path, count, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ipam = {"log_file_path": path, "log_file_max_size": 1, "log_file_max_count": count}
for number in range(lines):
    log.write(ipam, "info", {"writer": sys.argv[4], "number": number, "text": "x" * 2000})
"""


def full_log(folder: Path, name: str = "spiderpool.log") -> Path:
    path = folder / name
    path.write_bytes(b"{" * (MEGABYTE - 1) + b"\n")
    return path


def aside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "spiderpool.log")


def write(path: Path, **settings: int) -> None:
    log.write({"log_file_path": str(path), "log_file_max_size": 1, **settings}, "info", {"a": 1})


def test_the_call_that_crosses_the_size_sets_the_file_aside(tmp_path: Path) -> None:
    path = full_log(tmp_path)
    write(path)
    (name,) = aside(tmp_path)
    assert re.fullmatch(NAME, name)
    assert not path.exists()
    assert json.loads((tmp_path / name).read_bytes().splitlines()[-1])["a"] == 1
    write(path)
    assert len(path.read_text().splitlines()) == 1


def test_below_the_size_nothing_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "spiderpool.log"
    path.write_bytes(b"{" * (MEGABYTE - 1000))
    write(path)
    assert aside(tmp_path) == []


@pytest.mark.parametrize(("count", "left"), [(1, 1), (2, 2), (10, 8), (0, 8)])
def test_no_more_are_kept_than_the_count(tmp_path: Path, count: int, left: int) -> None:
    stamp = time.strftime("%Y-%m-%dT%H-%M", time.gmtime(time.time() - 3600))
    older = [f"spiderpool-{stamp}-0{number}.000.log" for number in range(7)]
    for name in older:
        (tmp_path / name).touch()
    write(full_log(tmp_path), log_file_max_count=count)
    assert aside(tmp_path)[:-1] == older[8 - left :]
    assert len(aside(tmp_path)) == left


@pytest.mark.parametrize(("age", "left"), [(1, 1), (3, 3), (0, 3)])
def test_none_is_kept_longer_than_the_age(tmp_path: Path, age: int, left: int) -> None:
    for days in (1.1, 2):
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(time.time() - days * 86400))
        (tmp_path / f"spiderpool-{stamp}.000.log").touch()
    write(full_log(tmp_path), log_file_max_age=age)
    assert len(aside(tmp_path)) == left


def test_others_files_are_not_touched(tmp_path: Path) -> None:
    others = ["other-2020-01-01T00-00-00.000.log", "spiderpool-2020.log", "spiderpool-2020-01-01T00-00-00.000.log.gz"]
    for name in others:
        (tmp_path / name).touch()
    write(full_log(tmp_path), log_file_max_count=1)
    assert set(others) < set(aside(tmp_path))


@pytest.mark.parametrize("name", ["log", "a.b.log", ".log", "-"])
def test_any_name_can_be_set_aside(tmp_path: Path, name: str) -> None:
    write(full_log(tmp_path, name))
    (found,) = tmp_path.iterdir()
    assert found.stat().st_size > MEGABYTE


def test_many_at_once_lose_and_tear_no_line_and_never_keep_too_many(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    path, writers, each = tmp_path / "spiderpool.log", 8, 1500
    command = [sys.executable, "-c", WRITER, str(path), "30", str(each)]
    running = [subprocess.Popen([*command, str(number)], cwd=requirements.ROOT) for number in range(writers)]
    assert [process.wait(120) for process in running] == [0] * writers
    lines = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    assert sorted((line["writer"], line["number"]) for line in lines) == sorted(
        (str(writer), number) for writer in range(writers) for number in range(each)
    )
    files = len(list(tmp_path.iterdir()))
    show(f"log rotation: {writers} writers, {len(lines)} lines in {files} files, none lost or torn")
    assert files > 10


def test_never_more_files_than_the_count_and_one(tmp_path: Path) -> None:
    path, most = tmp_path / "spiderpool.log", 0
    command = [sys.executable, "-c", WRITER, str(path), "3", "3000"]
    running = [subprocess.Popen([*command, str(number)], cwd=requirements.ROOT) for number in range(4)]
    while any(process.poll() is None for process in running):
        most = max(most, len(os.listdir(tmp_path)))  # noqa: PTH208
    assert most == 4


def test_a_file_that_another_call_has_set_aside_meanwhile_is_left_alone(tmp_path: Path) -> None:
    full_log(tmp_path).rename(tmp_path / "aside")
    newer = tmp_path / "spiderpool.log"
    newer.write_text("{}\n")
    log_file = os.open(tmp_path / "aside", os.O_WRONLY)
    folder = os.open(tmp_path, os.O_RDONLY)
    log_rotation.rotate(log_file, folder, newer.name, 0, 10)
    os.close(log_file)
    os.close(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside", "spiderpool.log"]


def test_two_files_of_one_millisecond_get_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(3):
        write(full_log(tmp_path))
    stamps = [name[len("spiderpool-") : -len(".log")] for name in aside(tmp_path)]
    assert len(set(stamps)) == 3
    assert all((tmp_path / name).stat().st_size > MEGABYTE for name in aside(tmp_path))


def test_a_file_that_became_a_symbolic_link_is_not_set_aside(tmp_path: Path) -> None:
    target = full_log(tmp_path, "target")
    (tmp_path / "spiderpool.log").symlink_to("target")
    write(tmp_path / "spiderpool.log")
    assert target.stat().st_size == MEGABYTE
    assert (tmp_path / "spiderpool.log").is_symlink()
