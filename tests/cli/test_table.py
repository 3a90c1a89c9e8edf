import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cni.cli.table import counted
from tests.installer.sample_node import Node
from tests.test_delegate import StandIn

ROWS = {"plugin": "[bold]a[/bold] [x] " + "long " * 60 + "end", "conf": "b"}
SCRIPT = f"from cni.cli.table import print_rows; print_rows({ROWS!r})"


def test_in_a_pipe_rows_are_printed_literally_and_whole() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={"COLUMNS": "40"})
    assert done.stdout == f"plugin  {ROWS['plugin']}\nconf    b\n"


def test_on_a_terminal_they_are_wrapped_beside_their_names() -> None:
    ours, theirs = pty.openpty()
    environ = {"COLUMNS": "40", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, env=environ):
        os.close(theirs)
        output = b""
        try:
            while part := os.read(ours, 4096):
                output += part
        except OSError:
            pass  # the end of a terminal
    os.close(ours)
    lines = output.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert lines[0].startswith("plugin  [bold]a[/bold] [x]")
    assert lines[1].startswith("        long")
    assert all(len(line) <= 40 for line in lines)


def run(line: str, command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a line of shell, in which "$@" is the command. Its output is buffered, as it is for an operator."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(["bash", "-c", line, "bash", *command], capture_output=True, text=True, env=environ)


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "from source"])
def test_the_table_stands_before_the_problems_in_one_pipe(node: Node, frozen: bool) -> None:
    lines = run('"$@" 2>&1 | cat', node.command("status", frozen=frozen)).stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["plugin", "bundles"]
    assert {line.split()[0] for line in lines[8:]} == {"problem:"}


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "from source"])
def test_output_that_cannot_be_written_is_one_line_and_status_1(node: Node, frozen: bool, options: list[str]) -> None:
    command = node.command("status", *options, frozen=frozen)
    done = run('"$@" >/dev/full', command)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "Error: No space left on device: make room there")
    done = run('(sleep 0.2; "$@" 2>/dev/null; echo $? >&2) | true', command)
    assert done.stderr == "1\n"


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "from source"])
def test_without_a_stdout_the_problems_are_told_still(node: Node, frozen: bool) -> None:
    done = run('"$@" >&-', node.command("status", frozen=frozen))
    assert (done.returncode, {line.split()[0] for line in done.stderr.splitlines()}) == (1, {"problem:"})


def test_a_table_of_attach_that_cannot_be_written_is_one_line_as_well(tmp_path: Path) -> None:
    plugin = StandIn(tmp_path)
    plugin.answer({"ips": [{"address": "10.244.100.10/16"}]})
    options = [
        "--pod",
        "default/a",
        "--conf",
        str(plugin.conf),
        "--cni-path",
        plugin.cni_path,
        "--state",
        str(tmp_path),
    ]
    done = run('"$@" >/dev/full', [sys.executable, "-m", "cni.cli", "attach", "add", *options])
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device: make room there\n")


def test_a_number_and_its_noun_agree() -> None:
    assert [counted(number, "time") for number in (0, 1, 2)] == ["0 times", "1 time", "2 times"]
