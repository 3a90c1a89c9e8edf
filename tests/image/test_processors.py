"""The image runs on every amd64 machine: emulated ones answer the vectors, and a build that saw this CPU is refused."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import requirements
from tests.image import builds
from tests.image.bundles import IMAGE, Bundles, copy_to
from tests.test_vectors import assert_ours_holds
from tests.vectors import Vector, load, run

AT_A_TIME = 4
TIME_LIMIT = 120  # seconds: an emulated call is some fifty times slower
# A DEL that its agent does not take writes to /var/lib, and a CHECK waits for 3 s; neither is a matter of the CPU.
VECTORS = [vector for vector in load() if vector.environment.get("CNI_COMMAND") not in ("CHECK", "DEL")]
# Of this machine's CPU, nothing is hidden from the program.
MAKE_WITHOUT_STOPS = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import make
make.stops = lambda folder: []
make.main(*map(pathlib.Path, sys.argv[2:]))
"""


def emulated(program: Path, cpu: str) -> list[str]:
    return [requirements.need_program("qemu-x86_64-static"), "-cpu", cpu, str(program)]


def test_an_emulated_cpu_is_enough_for_the_launcher(bundles: Bundles) -> None:
    command = emulated(bundles.imaged, "qemu64")
    done = subprocess.run(command, env={"CNI_COMMAND": "VERSION"}, capture_output=True, timeout=TIME_LIMIT)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("cpu", "every"),
    [
        ("qemu64", 12),
        *(pytest.param(cpu, 1, marks=pytest.mark.slow) for cpu in ("qemu64", "Nehalem", "Haswell", "max")),
    ],
)
def test_another_cpu_answers_the_vectors(bundles: Bundles, cpu: str, every: int, show: Callable[[str], None]) -> None:
    def main(environment: Mapping[bytes, bytes], stdin: int, stdout: int, _stderr: int) -> int:
        # qemu warns on stderr that it does not have all of a CPU.
        return subprocess.run(
            emulated(bundles.imaged, cpu),
            env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, timeout=TIME_LIMIT,
        ).returncode  # fmt: skip

    def complaint(vector: Vector) -> str:
        try:
            assert_ours_holds(vector, run(vector, main))
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"{vector.name}: {error}"
        return ""

    chosen = VECTORS[::every]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        complaints = list(filter(None, threads.map(complaint, chosen)))
    assert not complaints, "\n".join([f"{len(complaints)} of {len(chosen)} vectors failed", *complaints[:5]])
    show(f"{len(chosen)} vectors hold from the image on an emulated {cpu}")


def test_an_image_that_has_seen_this_cpu_is_refused(tmp_path: Path) -> None:
    requirements.need_image()
    requirements.need_package("elftools")
    requirements.need_program("objdump")
    if "avx" not in Path("/proc/cpuinfo").read_text():
        requirements.missing("this CPU has nothing that glibc would choose")
    tree = copy_to(tmp_path / "bundle", IMAGE).parent
    script: list[str | Path] = [sys.executable, "-c", MAKE_WITHOUT_STOPS, builds.MAKE.parent]
    command = [*script, tree, builds.PARTS / "image.bin", builds.PARTS / "tracer"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=builds.TIME_LIMIT)
    assert done.returncode == 1
    assert re.search(r"^no image: lib\S+ has chosen a function with \S+, at 0x\w+$", done.stderr), done.stderr
    assert not (tree / "_internal" / IMAGE).exists()
