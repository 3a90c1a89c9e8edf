import os
import pty
import subprocess
import sys

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
