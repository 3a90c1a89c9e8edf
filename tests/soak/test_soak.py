"""A small soak finds no fault, and it does find the fault of a broken agent."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests import requirements
from tests.soak.runtime import Lifetime, given_twice

ATTACHMENTS = 1000


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    requirements.need_root()
    requirements.need_program("unshare")
    requirements.need_frozen("spiderpool")
    command = [sys.executable, "-m", "tests.soak", *arguments]
    return subprocess.run(command, cwd=requirements.ROOT, capture_output=True, text=True, timeout=900)


def counts(output: str, title: str) -> dict[str, int]:
    """Return the rows of the table with this title."""
    lines = output[output.index(f"\n{title} ") :].splitlines()[2:]
    rows = [re.fullmatch(r"(\S.*\S) {2,}(\d+) *", line) for line in lines if not line.startswith("  ")]
    taken = rows[: rows.index(None)] if None in rows else rows
    return {row[1]: int(row[2]) for row in taken if row}


@pytest.mark.slow
def test_whatever_fails_no_address_is_given_twice_and_none_is_left(show: Callable[[str], None]) -> None:
    done = soak("--attachments", str(ATTACHMENTS))
    assert done.returncode == 0, done.stdout + done.stderr
    must_be_0 = counts(done.stdout, "must be 0")
    assert len(must_be_0) == 9
    assert set(must_be_0.values()) == {0}
    faults = counts(done.stdout, "faults")
    assert len(faults) == 12
    assert all(faults.values()), faults
    show(f"soak: {ATTACHMENTS} attachments; {', '.join(f'{kind}: {count}' for kind, count in faults.items())}")
    show(f"soak, all of them 0: {', '.join(must_be_0)}")


@pytest.mark.slow
def test_an_agent_that_gives_one_address_twice_is_found() -> None:
    done = soak("--attachments", "100", "--give-twice")
    assert done.returncode == 1, done.stdout + done.stderr
    assert counts(done.stdout, "must be 0")["addresses given twice"] > 0


def test_only_lifetimes_of_two_pods_that_overlap_are_twice() -> None:
    def life(pod: str, begin: float, end: float, address: str = "10.0.0.1/32") -> Lifetime:
        return Lifetime(address, pod, begin, end)

    one_after_the_other = [life("a", 1, 2), life("b", 2, 3), life("c", 1, 3, "10.0.0.2/32")]
    assert given_twice(one_after_the_other) == []
    inside_an_earlier_one = [life("b", 4, 5), life("a", 1, 10), life("c", 2, 3)]
    assert [(one.pod, other.pod) for one, other in given_twice(inside_an_earlier_one)] == [("a", "c"), ("a", "b")]
