"""The plugin is called through the installed link while the link is switched between two versions."""

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import requirements
from tests.portability.flips import VERSIONS, flipped
from tests.portability.place import Place
from tests.test_vectors import assert_ours_holds
from tests.vectors import load, run

(ADD,) = [vector for vector in load() if vector.name == "1.1.0/add-calico-dual-stack"]
(ASK_VERSION,) = [vector for vector in load() if vector.name == "1.1.0/version"]
pytestmark = pytest.mark.slow

AT_A_TIME = 4


def call(place: Place, number: int) -> None:
    vector = ASK_VERSION if number % 4 else ADD
    assert_ours_holds(vector, run(vector, place.call_plugin))


@pytest.mark.parametrize(("steps", "calls"), [(["proc"], 1000), ([], 300)], ids=["with-proc", "without-proc"])
def test_no_call_fails_while_the_link_is_flipped(steps: list[str], calls: int, show: Callable[[str], None]) -> None:
    with flipped("empty_root", *steps) as (place, flips):
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            for _ in threads.map(lambda number: call(place, number), range(calls)):
                pass
        show(f"{calls} calls {'with' if steps else 'without'} /proc during {flips.count} flips of the version")
        assert flips.count > calls


@pytest.mark.parametrize("steps", [["proc"], []], ids=["with-proc", "without-proc"])
def test_a_call_uses_one_version_from_start_to_end(steps: list[str], tmp_path: Path) -> None:
    strace = requirements.need_program("strace")
    trace = tmp_path / "trace"
    used = set()
    with flipped("empty_root", *steps) as (place, _):
        for _ in range(40):
            command: list[str | Path] = [strace, "-f", "-e", "trace=%file", "-o", trace, *place.command(place.plugin)]
            subprocess.run(command, env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL, capture_output=True)
            versions = set(re.findall("|".join(VERSIONS), trace.read_text()))
            assert len(versions) == 1
            used |= versions
    assert used == set(VERSIONS)
