"""The start from the image and the start without it answer every vector alike, to the byte."""

import itertools
import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import conformance
from tests.image.bundles import FROM_IMAGE, IMAGE, PROGRAM, Bundles, copy_to, how_it_starts
from tests.image.calls import Calls
from tests.test_vectors import assert_ours_holds
from tests.vectors import Outcome, Vector, executable, load, run

# Six vectors take 3 s each, because CHECK retries. They come first, so that they wait at the same time.
VECTORS = sorted(load(), key=lambda vector: vector.environment.get("CNI_COMMAND") != "CHECK")
AT_A_TIME = 8
# Each run of a vector has a socket of its own, and takes its own time.
OF_THE_RUN = re.compile(rb"/tmp/tmp\w{8}|tried for [0-9.]+ s")
OF_THE_MOMENT = ("time", "ms", "agent_ms")


def comparable(outcome: Outcome) -> tuple[Any, ...]:
    """Return all that a vector's run has shown, without its folder's name and its times.

    How often a request is repeated is not compared: a CHECK that finds a difference asks again for three seconds.
    """
    stdout, stderr = (OF_THE_RUN.sub(b"", text) for text in (outcome.stdout, outcome.stderr))
    lines = [json.loads(OF_THE_RUN.sub(b"", line.encode())) for line in outcome.log]
    log = [{name: value for name, value in line.items() if name not in OF_THE_MOMENT} for line in lines]
    requests = [request for request, _ in itertools.groupby(outcome.requests)]
    return outcome.status, stdout, stderr, requests, log


def test_each_copy_starts_in_its_way(bundles: Bundles) -> None:
    assert how_it_starts(bundles.whole) == how_it_starts(bundles.imaged) == FROM_IMAGE
    assert how_it_starts(bundles.plain) == "without its image: it is not there"


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["every fifth", "every"])
def test_a_vector_is_answered_alike(bundles: Bundles, step: int, show: Callable[[str], None]) -> None:
    vectors = VECTORS[::step]

    def complaint(vector: Vector) -> str:
        try:
            first, second = (run(vector, executable(program)) for program in (bundles.imaged, bundles.plain))
            assert_ours_holds(vector, first)
            assert comparable(first) == comparable(second)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"{vector.name}: {error}"
        return ""

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        complaints = list(filter(None, threads.map(complaint, vectors)))
    assert not complaints, "\n".join([f"{len(complaints)} of {len(vectors)} vectors failed", *complaints[:5]])
    show(f"{len(vectors)} vectors are answered from the image as without it, byte for byte")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["imaged", "plain"])
def test_the_conformance_runner_finds_no_fault(bundles: Bundles, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main([str(getattr(bundles, way))]) == 0
    assert f"{len(VECTORS)} of {len(VECTORS)} vectors hold" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION", "", "NONSENSE"])
def test_every_command_is_answered_alike(bundles: Bundles, calls: Calls, command: str) -> None:
    result = {"cniVersion": "1.1.0", "ips": [{"address": "10.244.100.10/16"}]}
    stdin = calls.stdin(prevResult=result, **{"cni.dev/valid-attachments": []})
    one, other = (calls.call(program, command=command, stdin=stdin) for program in (bundles.imaged, bundles.plain))
    assert one == other


def test_a_bundle_without_its_program_cannot_start_without_its_image(calls: Calls) -> None:
    """So its answer is always that of a start from the image; the other tests rely on that."""
    program = copy_to(calls.folder / "bundle", IMAGE, PROGRAM)
    assert calls.call(program)[:2] == (127, b"")
