"""The instructions that one ADD executes, which unlike its time do not depend on how busy the machine is."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests import requirements, vectors
from tests.bench.calls import CALLGRIND, counted_instructions

# Instructions by machine, Python version and way to start. To record them anew, copy the figures that the test shows.
RECORDED = json.loads((Path(__file__).parent / "instructions.json").read_text())
# Of several calls the one with the fewest is taken, because a call that has to wait once more for the agent executes
# more. From the image that is some per cent.
_CALLS = 3
TOLERANCE = {"from its image": 0.10, "without its image": 0.05}


@pytest.mark.parametrize("way", TOLERANCE)
def test_an_add_stays_near_the_recorded_instructions(tmp_path: Path, show: Callable[[str], None], way: str) -> None:
    requirements.need_program("valgrind")
    requirements.need_frozen("_internal/spiderpool.image" if way == "from its image" else "spiderpool")
    bundle = Path(shutil.copytree(requirements.TREE, tmp_path / "bundle", symlinks=True))
    if way == "without its image":
        Path(f"{bundle}.no-image").touch()
    plugin, counts = bundle / "spiderpool", tmp_path / "counts"
    python = f"{platform.machine()} {sys.version_info.major}.{sys.version_info.minor}, {way}"

    def main(environment: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        command = [*CALLGRIND, f"--callgrind-out-file={counts}/%p", str(plugin)]
        return subprocess.run(
            command, env={**environment, b"PATH": os.environb[b"PATH"]}, stdin=stdin, stdout=stdout, stderr=stderr
        ).returncode

    (vector,) = [v for v in vectors.load() if v.name == "1.1.0/add-calico-dual-stack"]
    counted = []
    for _ in range(_CALLS):
        counts.mkdir()
        assert not vectors.fault(vector, vectors.run(vector, main))
        counted.append(counted_instructions(counts))
        shutil.rmtree(counts)
    instructions = min(counted)
    if python not in RECORDED:
        requirements.missing(f"no figure is recorded for {python}; this is {instructions}")
    show(f"one ADD {way}: {instructions:,} instructions, recorded {RECORDED[python]:,}")
    assert abs(instructions / RECORDED[python] - 1) <= TOLERANCE[way]
