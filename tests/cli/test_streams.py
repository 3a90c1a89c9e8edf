"""stdout and stderr that are full, closed, or a pipe whose reader has gone: for every command, in whole sentences."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.agent_process import Agent, add_args, pool, write_pools
from tests.installer.sample_node import Node
from tests.test_delegate import StandIn
from tests.waiting import wait_for

FULL = "Error: No space left on device: make room there"
BROKEN = [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&-", "2>&-", ">&- 2>&-", "| true", "2>&1 | true"]
QUICK = {"help", "status", "attach"}  # the others of REPORTS take the same ways, a second for each of BROKEN
REPORTS = {
    "help": ["--help"],
    "help of a group": ["attach", "--help"],
    "version": ["version"],
    "version as JSON": ["version", "--json"],
    "status": ["status", "--host-root", "."],
    "status as JSON": ["status", "--json", "--host-root", "."],
    "pending": ["pending", "--host-root", "."],
    "dry run": ["install", "--dry-run", "--host-root", "."],
    "uninstall": ["uninstall", "--host-root", "."],
    "wrong usage": ["instal"],
    "attach": ["attach", "add", "--pod", "default/a", "--conf", "10.conflist", "--cni-path", ".", "--state", "state"],
    "attach that fails": ["attach", "status", "--conf", "nothing"],
}


def run(line: str, arguments: list[str], folder: Path, frozen: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a line of shell, in which "$@" is the command. Its output is buffered, as it is for an operator."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    program = [frozen] if frozen else [sys.executable, "-m", "cni.cli"]
    command = ["bash", "-o", "pipefail", "-c", line, "bash", *program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=folder, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Node(tmp_path)
    StandIn(tmp_path).answer({"ips": [{"address": "10.244.100.10/16"}]})
    return tmp_path


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in REPORTS]
)
def test_whatever_becomes_of_the_output_no_traceback_and_no_exception_is_shown(folder: Path, name: str) -> None:
    whole = run('"$@"', REPORTS[name], folder)
    for redirection in BROKEN:
        done = run(f'"$@" {redirection}', REPORTS[name], folder)
        assert not [word for word in ("Traceback", "Exception", "Errno") if word in done.stdout + done.stderr]
        is_told = redirection == ">/dev/full" and bool(whole.stdout)
        assert (FULL in done.stderr) == is_told, (redirection, done.stderr)
        lost = whole.stdout and redirection in (">/dev/full", ">/dev/full 2>&1", "| true", "2>&1 | true")
        assert done.returncode == (whole.returncode or (1 if lost else 0)), redirection


def test_what_went_wrong_besides_is_told_as_well_and_the_output_comes_last(folder: Path) -> None:
    lines = run('"$@" >/dev/full', REPORTS["status"], folder).stderr.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"problem:"}
    assert lines[-1] == FULL


def test_the_work_is_done_although_nobody_reads_what_is_said_about_it(folder: Path) -> None:
    run('"$@" 2>&1 >/dev/full | true', REPORTS["attach"], folder)
    assert [path.suffix for path in (folder / "state").iterdir()] == [".json"]


def test_a_name_that_is_not_utf_8_is_escaped(folder: Path) -> None:
    done = run('"$@"', ["attach", "status", "--conf", os.fsdecode(b"x\xff")], folder)
    assert (done.returncode, done.stdout, "x\\udcff" in done.stderr) == (1, "", True)


def test_a_stdout_that_does_not_block_gets_everything(folder: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    script = "import sys; from cni.cli import streams; streams.replace_streams(); print('x' * 300_000)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=writing, cwd=folder):
        os.close(writing)
        parts = iter(lambda: os.read(reading, 65536), b"")
        assert sum(map(len, parts)) == 300_001
    os.close(reading)


@pytest.mark.parametrize("redirection", [">/dev/full", ">/dev/full 2>&1", "2>&- >&-", "2>&1 | true"])
def test_the_agent_serves_although_its_first_line_cannot_be_written(tmp_path: Path, redirection: str) -> None:
    pools = write_pools(tmp_path / "p.yaml", pool("a", "10.244.0.1", default=True))
    path = tmp_path / "agent.sock"
    options = ["agent", "--pool", str(pools), "--socket", str(path), "--state", str(tmp_path / "state")]
    line = f'("$@" & echo $! >pid; wait) {redirection}'
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "cni.cli", *options]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(path.exists, "the agent's socket")
        assert Agent(process, path, "").add(add_args("u")).status == 200
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    assert "Exception" not in stdout + stderr
    assert "Traceback" not in stdout + stderr


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&1 | true"])
def test_watch_repairs_although_nobody_reads_its_log(node: Node, redirection: str) -> None:
    node.run("install", "--wait-agent", "0")
    line = f'("$@" & echo $! >pid; wait $!; echo $? >status) {redirection}'
    command = ["bash", "-c", line, "bash", *node.command("watch")]
    with subprocess.Popen(command, cwd=node.root) as process:
        wait_for((node.root / "pid").exists, "watch")
        try:
            node.write()
            wait_for(lambda: node.ipam()["type"] == "spiderpool", "the repair")
        finally:
            os.kill(int((node.root / "pid").read_text()), signal.SIGTERM)
        process.wait(30)
    assert (node.root / "status").read_text() == "0\n"
