import json
from typing import Any

import pytest
from hypothesis import given

from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.ipam import our_ipam, require_replaceable
from tests.installer.conflist.generated import HUGE, SETTINGS, conflists, delegating, swapped
from tests.installer.sample_conflists import CALICO


def test_settings_stand_beside_the_type() -> None:
    text = swapped(CALICO, log_level="info")
    assert json.loads(text)["plugins"][0]["ipam"] == {"type": "spiderpool", "log_level": "info"}


@pytest.mark.parametrize(
    ("ipam", "settings", "expected"),
    [
        ('{"type":"spiderpool","a":[1, 2]}', {}, '{"type":"spiderpool","a":[1, 2]}'),
        (
            '{"type":"spiderpool","a":[1,  2],"log_level":"INFO"}',
            {"log_level": "debug"},
            '{"type": "spiderpool", "a": [1,  2], "log_level": "debug"}',
        ),
        (
            '{"LOG_level":"INFO","type":"spiderpool"}',
            {"log_level": "info"},
            '{"type": "spiderpool", "log_level": "info"}',
        ),
        (
            f'{{"n":{HUGE},"type":"spiderpool"}}',
            {"log_level": "info"},
            f'{{"type": "spiderpool", "n": {HUGE}, "log_level": "info"}}',
        ),
        ('{"type":"spiderpool","x":1}', {"x": True}, '{"type": "spiderpool", "x": true}'),
        ('{"type":"calico-ipam","a":1}', {"log_level": "info"}, '{"type": "spiderpool", "log_level": "info"}'),
    ],
)
def test_the_keys_of_one_that_was_spiderpools_already_stay(ipam: str, settings: dict[str, Any], expected: str) -> None:
    assert swapped(f'{{"type":"calico","ipam":{ipam}}}', **settings) == f'{{"type":"calico","ipam":{expected}}}'


def test_another_ipam_is_replaced_by_force() -> None:
    text = '{"type": "calico", "ipam": {"type": "dhcp"}}'
    _, delegation = delegating(text)
    with pytest.raises(ConflistError, match="--force replaces it"):
        require_replaceable(delegation)
    assert our_ipam(delegation.ipam, delegation.ipam, {}) == '{"type": "spiderpool"}'


@given(conflists(), SETTINGS)
def test_swapping_twice_is_swapping_once(text: str, settings: dict[str, str]) -> None:
    once = swapped(text, **settings)
    assert swapped(once, **settings) == once
