"""SIGTERM and SIGINT at any moment of a start from the image: it ends as a start without it does."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.bundles import TIME_LIMIT, Bundles
from tests.image.calls import Calls

SPAN = 0.006  # seconds: an ADD from the image takes half of it


def ending(calls: Calls, program: Path, number: signal.Signals, moment: float) -> str:
    """Send a signal to a call; say how it ended."""
    with calls.start(program) as process:
        time.sleep(moment)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=TIME_LIMIT)
    assert stderr == b""
    if process.returncode == -number:  # before the launcher's first instruction
        assert stdout == b""
        return "not begun"
    printed = json.loads(stdout)
    assert process.returncode == ("code" in printed)
    return f"code {printed['code']}: {printed['msg']}" if "code" in printed else "finished"


@pytest.mark.parametrize("times", [150, pytest.param(1_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_at_any_moment_it_ends_in_one_of_three_ways(
    bundles: Bundles, calls: Calls, number: signal.Signals, times: int, show: Callable[[str], None]
) -> None:
    chance = random.Random(times)
    endings = Counter(ending(calls, bundles.imaged, number, chance.uniform(0, SPAN)) for _ in range(times))
    assert set(endings) <= {"not begun", "finished", "code 11: ADD was stopped by a signal"}, endings
    show(f"{number.name} at {times} moments of an ADD from the image: {dict(endings)}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_at_once_is_answered_as_without_the_image(
    bundles: Bundles, calls: Calls, number: signal.Signals
) -> None:
    """The caller has sent it before the first instruction, and blocks it; so it is pending when the launcher starts."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        answers = []
        for program in (bundles.imaged, bundles.plain):
            with calls.start(program, preexec_fn=lambda: signal.raise_signal(number)) as process:
                answers.append((process.communicate(timeout=TIME_LIMIT), process.returncode))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert answers[0] == answers[1]
    assert json.loads(answers[0][0][0])["code"] == 11
