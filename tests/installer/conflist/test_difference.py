"""The words for what somebody has changed."""

import json

import pytest

from cni.installer.conflist.difference import changed_members
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED

PORTMAP = '{"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}'


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (CALICO, "the ipam of plugin calico"),
        (NEWER, "the mtu of plugin calico, the ipam of plugin calico"),
        (SWAPPED.replace("0.3.1", "1.0.0"), "the cniVersion"),
        (SWAPPED.replace('"portmap"', '"bandwidth"'), "the plugin bandwidth, the plugin portmap"),
        (SWAPPED.replace(PORTMAP, f"{PORTMAP}, {PORTMAP}"), "the order or number of its plugins"),
        (json.dumps({**json.loads(NEWER), "a": 1, "b": 2}), "the a, the b, the mtu of plugin calico and 1 more"),
        ("", "the whole"),
        ("{", "the whole"),
        ("[]", "the whole"),
        ('{"plugins": [1]}', "the whole"),
        ("[" * 100_000, "the whole"),
    ],
)
def test_the_members_that_differ_are_named(found: str, words: str) -> None:
    assert changed_members(found.encode(), SWAPPED.encode()) == words


def test_a_file_that_is_missing_is_named_as_a_whole() -> None:
    assert changed_members(None, SWAPPED.encode()) == "the whole"
