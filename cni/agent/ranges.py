"""Arithmetic on sets of addresses that are kept as ranges, because an IPv6 pool may have 2**64 addresses. Pure.

A range is (first, last) as whole numbers, both included. Lists of ranges are sorted and disjoint, as `merge` returns
them.
"""

from bisect import bisect_left
from collections.abc import Iterable
from operator import itemgetter

Range = tuple[int, int]

_last = itemgetter(1)


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Sort ranges and join those that overlap or touch."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def subtract(ranges: list[Range], holes: list[Range]) -> list[Range]:
    """Return the numbers of the ranges that lie in none of the holes."""
    remaining = []
    for first, last in ranges:
        start = first
        at = bisect_left(holes, first, key=_last)
        while at < len(holes) and holes[at][0] <= last:
            if start < holes[at][0]:
                remaining.append((start, holes[at][0] - 1))
            start = holes[at][1] + 1
            at += 1
        if start <= last:
            remaining.append((start, last))
    return remaining


def intersect(ranges: list[Range], others: list[Range]) -> list[Range]:
    """Return the numbers that lie in both."""
    return subtract(ranges, subtract(ranges, others))


def contains(ranges: list[Range], number: int) -> bool:
    """Tell whether a number lies in one of the ranges."""
    at = bisect_left(ranges, number, key=_last)
    return at < len(ranges) and ranges[at][0] <= number


def count(ranges: list[Range]) -> int:
    """Return how many numbers the ranges hold."""
    return sum(last - first + 1 for first, last in ranges)
