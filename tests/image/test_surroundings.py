"""Layouts of memory, limits and descriptors that a caller may leave to the plugin: the answer is always the same."""

import re
from collections.abc import Sequence

import pytest

from tests import requirements
from tests.image.bundles import FROM_IMAGE, Bundles, how_it_starts
from tests.image.calls import Calls, shell

TAKEN = "without its image: its memory cannot be mapped here"
NINETY_TIB = 90 << 30  # in units of 1 KiB


@pytest.mark.parametrize(
    ("before", "way"),
    [
        (["setarch", "x86_64", "-R"], FROM_IMAGE),
        (["setarch", "x86_64", "-L"], FROM_IMAGE),
        (["setarch", "x86_64", "-3"], FROM_IMAGE),
        (["setarch", "x86_64", "-X"], FROM_IMAGE),
        (["setarch", "x86_64", "-Z"], FROM_IMAGE),
        (["setarch", "x86_64", "-L", "-3", "-X", "-Z"], FROM_IMAGE),
        # Here the kernel's first mapping lies where the image's does.
        (["setarch", "x86_64", "-R", "-L"], TAKEN),
        (["setarch", "x86_64", "-R", "-L", "-3", "-X", "-Z"], TAKEN),
        (shell("ulimit -s unlimited"), FROM_IMAGE),
        # In some kernels, an unlimited stack changes the layout as -L does.
        ([*shell("ulimit -s unlimited"), "setarch", "x86_64", "-R"], ""),
        (shell("ulimit -s 64"), FROM_IMAGE),
        (shell(f"ulimit -s {NINETY_TIB}"), FROM_IMAGE),
        ([*shell(f"ulimit -s {NINETY_TIB}"), "setarch", "x86_64", "-R"], FROM_IMAGE),
        (shell("ulimit -c unlimited"), FROM_IMAGE),
        (shell("ulimit -f 0"), FROM_IMAGE),
        (shell("ulimit -l 0"), FROM_IMAGE),
        (shell("ulimit -t 1"), FROM_IMAGE),
        (["nice", "-n", "19"], FROM_IMAGE),
    ],
    ids=lambda value: re.sub(r"[^\w-]+", "_", " ".join(value)) if isinstance(value, list) else "",
)
def test_the_layout_of_memory_changes_no_answer(
    bundles: Bundles, calls: Calls, before: Sequence[str], way: str
) -> None:
    requirements.need_program("setarch")
    assert how_it_starts(bundles.whole, *before) in ([way] if way else [FROM_IMAGE, TAKEN])
    expected = calls.call(bundles.plain, *before)
    for program in (bundles.whole, bundles.imaged) if way == FROM_IMAGE else (bundles.whole,):
        assert calls.call(program, *before) == expected
    assert expected.status == 0 or "-f" in " ".join(before)


@pytest.mark.parametrize("most", range(11))
def test_a_limit_of_descriptors_gives_the_same_answer(bundles: Bundles, calls: Calls, most: int) -> None:
    """Below six, both fail, but they need different numbers of descriptors at a time."""
    whole, plain = (calls.call(program, *shell(f"ulimit -n {most}")) for program in (bundles.whole, bundles.plain))
    assert whole.status == plain.status
    if most > 5:
        assert whole == plain == calls.call(bundles.imaged, *shell(f"ulimit -n {most}"))


@pytest.mark.parametrize("command", ["ADD", "VERSION", "STATUS"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", "</", "</ 2</", "</dev/full"])
def test_closed_streams_give_the_same_answer(bundles: Bundles, calls: Calls, closed: str, command: str) -> None:
    before = ["/bin/bash", "-c", f'exec "$@" {closed}', "bash"]
    answers = [calls.call(program, *before, command=command) for program in (bundles.imaged, bundles.plain)]
    assert answers[0] == answers[1]


def test_descriptors_of_the_caller_stay_its_own(bundles: Bundles, calls: Calls) -> None:
    """They were none when the image was made, so the plugin's own get other numbers than there."""
    before = shell("exec 3</dev/zero 4</dev/full 5<. 6<> /dev/null 250</dev/zero")
    answers = [calls.call(program, *before) for program in (bundles.imaged, bundles.plain)]
    assert answers[0] == answers[1]
    assert answers[0].status == 0


@pytest.mark.parametrize("number", ["PIPE", "XFSZ", "HUP", "CHLD", "ALRM", "USR1"])
def test_signals_that_the_caller_ignores_change_no_answer(bundles: Bundles, calls: Calls, number: str) -> None:
    before = shell(f"trap '' {number}")
    answers = [calls.call(program, *before) for program in (bundles.imaged, bundles.plain)]
    assert answers[0] == answers[1]
    assert answers[0].status == 0
