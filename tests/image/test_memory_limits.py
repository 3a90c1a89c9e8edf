"""Limits of memory: the plugin starts in the way that they allow, and answers as that way does."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import requirements
from tests.image.bundles import FROM_IMAGE, Bundles, how_it_starts
from tests.image.calls import Answer, Calls, shell

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@pytest.mark.parametrize("limit", ["-v", "-d"])
@pytest.mark.parametrize("mebibytes", [1, 4, 8, 9, 10, 12, 16, 20, 24, 29, 30, 32, 40, 64, 200])
def test_the_answer_is_that_of_one_way_or_the_other(bundles: Bundles, calls: Calls, limit: str, mebibytes: int) -> None:
    """The two ways need different amounts, so that one may succeed where the other does not.

    Where memory ends before the plugin's own code runs, or while it is loaded, the words are those of the loader, of
    PyInstaller or of Python. At a limit that one of them just reaches, they differ from call to call.
    """
    before = shell(f"ulimit {limit} {mebibytes << 10}")
    without_limit = calls.call(bundles.plain)
    whole, plain = (calls.call(program, *before) for program in (bundles.whole, bundles.plain))
    assert whole in (plain, without_limit) or (has_not_begun(whole) and has_not_begun(plain))


def has_not_begun(answer: Answer) -> bool:
    """Tell whether a call failed before the plugin did anything: the agent was asked nothing."""
    return answer.status != 0 and not answer.requests


def lowest(limit: str, program: Path) -> int:
    """Return the lowest limit, in KiB, with which the image can be mapped."""
    too_low, enough = 1 << 10, 64 << 10
    while enough - too_low > 4:
        middle = (too_low + enough) // 2
        way = how_it_starts(program, *shell(f"ulimit {limit} {middle}"))
        too_low, enough = (too_low, middle) if way == FROM_IMAGE else (middle, enough)
    return enough


@pytest.mark.parametrize("limit", ["-v", "-d"])
def test_where_the_image_just_fits_the_plugin_has_room_to_work(bundles: Bundles, calls: Calls, limit: str) -> None:
    least = lowest(limit, bundles.whole)
    expected = calls.call(bundles.plain, *shell(f"ulimit {limit} {least + 1024}"))
    assert expected.status == 0
    for more in (0, 64, 128, 256, 512):
        assert calls.call(bundles.whole, *shell(f"ulimit {limit} {least + more}")) == expected, f"{least} + {more}"


@contextmanager
def memory_cgroup(mebibytes: int) -> Iterator[Path]:
    """Make a cgroup that may have so much memory, the kernel's for it included."""
    requirements.need_root()
    for parent, name in ((V1, "memory.limit_in_bytes"), (V2, "memory.max")):
        folder = parent / f"spiderpool-{os.getpid()}-{mebibytes}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / name).exists():
                (folder / name).write_text(str(mebibytes << 20))
                yield folder
                return
        finally:
            folder.rmdir()
    requirements.missing("memory cgroups cannot be made here")


def test_a_memory_cgroup_of_two_mebibytes_is_enough(
    bundles: Bundles, calls: Calls, show: Callable[[str], None]
) -> None:
    """What the shell takes before it counts as well. The other way needs four."""
    expected = calls.call(bundles.plain)
    with memory_cgroup(2) as group:
        inside = ["/bin/sh", "-c", f'echo 0 >{group}/cgroup.procs; exec "$@"', "sh"]
        for _ in range(5):
            assert calls.call(bundles.imaged, *inside) == expected
        without = calls.call(bundles.plain, *inside).status
    show(f"an ADD in a memory cgroup of 2 MiB: status 0 from the image, {without} without it")
