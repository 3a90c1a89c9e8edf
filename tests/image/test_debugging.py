"""Debuggers read the image: they name functions of a process that was started from it, and find their callers."""

import os
import re
import subprocess
from pathlib import Path

from tests import requirements
from tests.e2e.test_signals import wait_until_it_handles_signals
from tests.image.bundles import IMAGE, TIME_LIMIT, Bundles
from tests.image.calls import Calls

FRAME = re.compile(r"^#(\d+) +(?:0x[0-9a-f]+ in )?(\S+) \(", re.MULTILINE)


def core_of(pid: int, folder: Path) -> Path:
    """Write a live process's core."""
    gcore = requirements.need_program("gcore")
    subprocess.run([gcore, "-o", folder / "core", str(pid)], check=True, capture_output=True, timeout=TIME_LIMIT)
    return folder / f"core.{pid}"


def test_gdb_names_the_functions_of_a_core_up_to_the_first(bundles: Bundles, calls: Calls) -> None:
    image = bundles.imaged.parent / "_internal" / IMAGE
    gdb = requirements.need_program("gdb")
    reader, writer = os.pipe()
    with calls.start(bundles.imaged, stdin=reader) as process:  # it waits for its configuration
        os.close(reader)
        wait_until_it_handles_signals(process.pid)
        core = core_of(process.pid, calls.folder)
        process.kill()
        process.communicate(timeout=TIME_LIMIT)
    os.close(writer)
    commands = ["set pagination off", f"file {image}", f"core-file {core}", "backtrace"]
    options = [part for command in commands for part in ("-ex", command)]
    done = subprocess.run([gdb, "-nx", "-batch", *options], capture_output=True, text=True, timeout=TIME_LIMIT)
    frames = {int(number): name for number, name in FRAME.findall(done.stdout)}  # gdb prints the first one twice
    names = list(frames.values())
    # What a library does not export has no name, here as in any process of a stripped program; but all have callers.
    assert names[0].endswith("poll"), done.stdout + done.stderr
    assert {"_PyEval_EvalFrameDefault", "PyObject_Vectorcall", "PyEval_EvalCode"} <= set(names), names
    assert "__libc_start_main" in names[-3:], names
    assert "corrupt stack" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_the_tools_of_binutils_read_it() -> None:
    image = requirements.need_image()
    readelf = requirements.need_program("readelf")
    done = subprocess.run([readelf, "-hlS", "--wide", image], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert re.search(r"Type: +EXEC", done.stdout)
    assert " RWE " not in done.stdout  # nothing is both writable and executable
    done = subprocess.run([readelf, "--symbols", "--wide", image], capture_output=True, text=True, check=True)
    for name in ("_PyEval_EvalFrameDefault", "PyInit__pydantic_core", "__libc_start_main", "memcpy"):
        assert name in done.stdout
