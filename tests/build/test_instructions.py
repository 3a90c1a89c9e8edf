"""The instructions that one ADD executes, which unlike its time do not depend on how busy the machine is."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests import requirements, vectors
from tests.bench.calls import CALLGRIND, counted_instructions

# Instructions by machine and Python version. To record them anew, copy the figure that the test shows.
RECORDED = json.loads((Path(__file__).parent / "instructions.json").read_text())
TOLERANCE = 0.05


def test_an_add_stays_within_five_percent_of_the_recorded_instructions(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    requirements.need_program("valgrind")
    plugin = requirements.need_frozen("spiderpool")
    python = f"{platform.machine()} {sys.version_info.major}.{sys.version_info.minor}"

    def main(environment: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        command = [*CALLGRIND, f"--callgrind-out-file={tmp_path}/%p", str(plugin)]
        return subprocess.run(
            command, env={**environment, b"PATH": os.environb[b"PATH"]}, stdin=stdin, stdout=stdout, stderr=stderr
        ).returncode

    (vector,) = [v for v in vectors.load() if v.name == "1.1.0/add-calico-dual-stack"]
    assert not vectors.fault(vector, vectors.run(vector, main))
    instructions = counted_instructions(tmp_path)
    if python not in RECORDED:
        requirements.missing(f"no figure is recorded for {python}; this is {instructions}")
    show(f"one ADD: {instructions:,} instructions, recorded {RECORDED[python]:,}")
    assert abs(instructions / RECORDED[python] - 1) <= TOLERANCE
