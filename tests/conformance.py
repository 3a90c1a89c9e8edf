"""Run the vectors against any IPAM executable and print a table: `python -m tests.conformance PLUGIN`.

It judges what a runtime sees: stdout and exit status. What the plugin asks its agent for does not matter here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tests.vectors import Outcome, Vector, executable, fault, load, run


def main(arguments: list[str]) -> int:
    """Return 0 when all vectors hold, 1 when one does not, 2 when there is nothing to run."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file() or not os.access(arguments[0], os.X_OK):
        sys.stderr.write("usage: python -m tests.conformance PLUGIN, where PLUGIN is an executable file\n")
        return 2
    plugin = Path(arguments[0]).absolute()
    table = Table(Column("case", no_wrap=True), "expected", "got", "verdict")
    vectors, held = load(), 0
    for vector in vectors:
        got, verdict = attempt(vector, plugin)
        held += not verdict
        table.add_row(*map(Text, [vector.name, brief(vector.stdout), got, verdict or "holds"]))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"{held} of {len(vectors)} vectors hold on {plugin}", soft_wrap=True, highlight=False)
    return 0 if held == len(vectors) else 1


def attempt(vector: Vector, plugin: Path) -> tuple[str, str]:
    """Run one vector; return a short form of what the plugin printed, and what is wrong with it."""
    try:
        outcome = run(vector, executable(plugin))
    except subprocess.TimeoutExpired as error:
        return "", f"no answer in {error.timeout:.0f} s"
    except OSError as error:
        return "", f"cannot be run: {error.strerror}"
    return seen(outcome), fault(vector, outcome)


def seen(outcome: Outcome) -> str:
    """Describe an outcome in a few words."""
    try:
        printed = json.loads(outcome.stdout) if outcome.stdout else None
    except ValueError:
        return f"status {outcome.status}, not JSON"
    if isinstance(printed, dict) and "code" in printed:
        return f"status {outcome.status}, {brief(printed)}: {printed.get('msg', '')}"[:200]
    return f"status {outcome.status}, {brief(printed)}"


def brief(stdout: Any) -> str:
    """Name the kind of an expected or printed stdout; write a result without blanks."""
    if stdout is None:
        return "silence"
    if isinstance(stdout, dict) and "code" in stdout:
        return f"error {stdout['code']}"
    return json.dumps(stdout, separators=(",", ":"))[:200]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
