"""It starts from its image every time: many starts, eight at once, and none fails or takes another way."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.image.bundles import TIME_LIMIT, Bundles
from tests.image.calls import ADDRESS, Calls

AT_A_TIME = 8
FOUND = {"cniVersion": "1.1.0", "ips": [{"address": ADDRESS["address"]}]}


def count_answers(calls: Calls, program: Path, starts: int) -> Counter[str]:
    """Start ADDs; return how often each answer came."""

    def add(_number: int) -> str:
        with calls.start(program) as process:
            stdout, stderr = process.communicate(timeout=TIME_LIMIT)
        return f"{process.returncode} {stdout.decode()} {stderr.decode()}"

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return Counter(threads.map(add, range(starts)))


@pytest.mark.parametrize("starts", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_start_succeeds(bundles: Bundles, calls: Calls, starts: int, show: Callable[[str], None]) -> None:
    answers = count_answers(calls, bundles.imaged, starts)
    assert len(answers) == 1, answers.most_common(5)
    (answer,) = answers
    status, printed, stderr = answer.split(" ", 2)
    assert (status, stderr) == ("0", "")
    assert json.loads(printed) == FOUND
    assert len(calls.heard) == starts
    show(f"{starts} starts from the image, {AT_A_TIME} at a time: none failed, none took the other way")
