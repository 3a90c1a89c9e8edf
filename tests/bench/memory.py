"""Measures the memory that one call has for itself at its end. Side effect: the call, under strace.

The pages of a file that every process of a program shares are counted once on a machine; what a process has written to,
or allocated, is its own. So strace holds the call when it is about to exit, and the kernel is asked.
"""

import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.waiting import wait_for

_HELD = 1_000_000  # microseconds
_RUNS = 3
_EXIT_GROUP = {"x86_64": "231 ", "aarch64": "94 "}[platform.machine()]  # as /proc/PID/syscall begins with it


def private(command: tuple[list[str], dict[str, str]], stdin: Path) -> float:
    """Return the bytes, in the median of some runs."""
    return sorted(_once(*command, stdin) for _ in range(_RUNS))[_RUNS // 2]


def _once(command: list[str], environ: dict[str, str], stdin: Path) -> float:
    hold = ["-f", "-e", "trace=exit_group", "-e", f"inject=exit_group:delay_enter={_HELD}", "-o", f"{stdin}.trace"]
    with stdin.open() as source:
        tracer = subprocess.Popen(["strace", *hold, *command], stdin=source, stdout=subprocess.DEVNULL, env=environ)
    try:
        wait_for(lambda: _ending(tracer.pid) is not None, "the call to be about to end")
        return _own_bytes(_ending(tracer.pid))
    finally:
        tracer.wait()


def _ending(tracer: int) -> int | None:
    """Return the process that strace holds, once one of its threads is in exit_group()."""
    for child in Path(f"/proc/{tracer}/task/{tracer}/children").read_text().split():
        with suppress(OSError):  # strace has short-lived children of its own, and a thread may end
            for thread in Path(f"/proc/{child}/task").iterdir():
                if (thread / "syscall").read_text().startswith(_EXIT_GROUP):
                    return int(child)
    return None


def _own_bytes(process: int | None) -> float:
    found = re.search(r"^Private_Dirty: +(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024
