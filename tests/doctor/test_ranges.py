"""Ranges of addresses against networks."""

from typing import Any

import pytest

from cni.doctor.ranges import network, pool_ranges, uncovered


def pool(*ips: str, subnet: str = "10.244.0.0/16") -> Any:
    return {"metadata": {"name": "p"}, "spec": {"subnet": subnet, "ips": list(ips)}}


def test_a_pools_ranges_are_read_and_what_is_none_is_left_out() -> None:
    found = pool_ranges(pool("10.244.0.1-10.244.0.3", "10.244.0.9", "fd00::1-fd00::2", "x", "10.0.0.1-fd00::1"))
    assert list(map(str, found)) == ["10.244.0.1-10.244.0.3", "10.244.0.9", "fd00::1-fd00::2"]
    assert pool_ranges(pool()) == []  # SpiderPool takes such a pool, and gives no address out of it


@pytest.mark.parametrize(
    ("networks", "left"),
    [
        ([], ["10.244.0.10-10.244.0.20"]),
        (["10.244.0.0/16"], []),
        (["10.245.0.0/16", "fd00::/8"], ["10.244.0.10-10.244.0.20"]),
        (["10.244.0.0/28"], ["10.244.0.16-10.244.0.20"]),
        (["10.244.0.16/28"], ["10.244.0.10-10.244.0.15"]),
        (["10.244.0.16/28", "10.244.0.0/28"], []),
        (["10.244.0.12/30"], ["10.244.0.10-10.244.0.11", "10.244.0.16-10.244.0.20"]),
        (["10.244.0.12/30", "10.244.0.8/29"], ["10.244.0.16-10.244.0.20"]),
    ],
)
def test_what_no_network_has_of_a_range_is_found(networks: list[str], left: list[str]) -> None:
    (wanted,) = pool_ranges(pool("10.244.0.10-10.244.0.20"))
    assert list(map(str, uncovered(wanted, map(network, networks)))) == left
