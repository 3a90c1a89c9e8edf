"""Ranges behave as the sets of numbers that they stand for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cni.agent.ranges import Range, contains, count, intersect, merge, subtract

_numbers = st.integers(0, 40)
_ranges = st.lists(st.tuples(_numbers, _numbers).map(lambda ends: (min(ends), max(ends))), max_size=6)


def _set(ranges: list[Range]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(_ranges)
def test_merged_ranges_hold_the_same_numbers_and_neither_overlap_nor_touch(ranges: list[Range]) -> None:
    merged = merge(ranges)
    assert _set(merged) == _set(ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(merged))


@given(_ranges, _ranges)
def test_subtract_and_intersect_are_those_of_sets(ranges: list[Range], others: list[Range]) -> None:
    ranges, others = merge(ranges), merge(others)
    for result, expected in (
        (subtract(ranges, others), _set(ranges) - _set(others)),
        (intersect(ranges, others), _set(ranges) & _set(others)),
    ):
        assert _set(result) == expected
        assert count(result) == len(expected)
        assert merge(result) == result


@given(_ranges, _numbers)
def test_contains_is_that_of_sets(ranges: list[Range], number: int) -> None:
    assert contains(merge(ranges), number) == (number in _set(ranges))


def test_a_range_of_2_to_the_64_is_not_enumerated() -> None:
    assert count(subtract([(0, 2**64 - 1)], [(2**63, 2**63)])) == 2**64 - 1
