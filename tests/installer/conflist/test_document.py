import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cni.installer.conflist.document import ConflistError, Delegation, Document, UnfinishedError, read_document
from cni.installer.conflist.ipam import our_ipam, require_replaceable
from tests.installer.sample_conflists import CALICO


def delegating(text: str) -> tuple[Document, Delegation]:
    document = read_document(text)
    (delegation,) = document.delegations("calico")
    return document, delegation


def swapped(text: str, **settings: Any) -> str:
    document, delegation = delegating(text)
    require_replaceable(delegation)
    return document.with_ipam(delegation, our_ipam(delegation.ipam, delegation.ipam, settings))


def test_only_the_ipam_value_changes() -> None:
    assert swapped(CALICO) == CALICO.replace('{ "type": "calico-ipam" }', '{"type": "spiderpool"}')


def test_settings_stand_beside_the_type() -> None:
    text = swapped(CALICO, log_level="info")
    assert json.loads(text)["plugins"][0]["ipam"] == {"type": "spiderpool", "log_level": "info"}


def test_a_single_configuration_is_swapped_as_well() -> None:
    assert swapped('{"type":"calico","ipam":{"type":"host-local","subnet":"usePodCidr"}}') == (
        '{"type":"calico","ipam":{"type": "spiderpool"}}'
    )


HUGE = "9" * 5000


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


@pytest.mark.parametrize(
    ("text", "of", "expected"),
    [
        ('{"type": "macvlan", "ipam": {"type": "spiderpool"}}', None, {"spiderpool"}),
        ('{"type": "macvlan", "IPAM": {"Type": "spiderpool"}}', None, {"spiderpool"}),
        (f'{{"n": {HUGE}, "plugins": [{{"type": "x", "ipam": {{"type": "spiderpool"}}}}]}}', None, {"spiderpool"}),
        ('{"delegates": [{"plugins": [{"type": "calico", "ipam": {"type": "a"}}]}]}', "calico", {"a"}),
        ('{"delegates": [{"plugins": [{"type": "calico", "ipam": {"type": "a"}}]}]}', "ptp", set()),
        ('{"type": "macvlan", "ipam": {}, "x": {"ipam": null}}', None, set()),
        ("[" * 3000 + '{"ipam": {"type": "deep"}}' + "]" * 3000, None, {"deep"}),
    ],
)
def test_ipam_types_are_found_wherever_they_stand(text: str, of: str | None, expected: set[str]) -> None:
    assert read_document(text).ipam_types(of) == expected


def test_what_is_half_written_is_told_apart() -> None:
    with pytest.raises(UnfinishedError):
        read_document(CALICO[:100])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        (CALICO[:200], "not JSON"),
        ("[]", "the file is not an object"),
        ('{"plugins": {}}', "not a list"),
        ('{"plugins": [1]}', "a plugin is not an object"),
        ('{"type": "calico"}', "no ipam"),
        ('{"type": "calico", "ipam": "calico-ipam"}', "the ipam is not an object"),
        ('{"type": "calico", "ipam": {}, "ipam": {}}', "'ipam' more than once"),
        ('{"type": "calico", "ipam": {}, "IPAM": {}}', "'ipam' more than once"),
        ('{"type": "calico", "Ipam": {}}', "'Ipam' for 'ipam'"),
        ('{"plugins": [], "Plugins": []}', "'plugins' more than once"),
        ('{"type": "calico", "ipam": {"type": "a", "type": "b"}}', "'type' more than once"),
        ('{"type": "calico", "ipam": {"type": "dhcp"}}', "'dhcp'"),
        ('{"type": "calico", "ipam": {"type": 1}}', "''"),
    ],
)
def test_what_is_not_swapped_is_refused_with_what_was_found(text: str, words: str) -> None:
    with pytest.raises(ConflistError) as raised:
        swapped(text)
    assert words in str(raised.value)


def test_another_ipam_is_replaced_by_force() -> None:
    text = '{"type": "calico", "ipam": {"type": "dhcp"}}'
    _, delegation = delegating(text)
    with pytest.raises(ConflistError, match="--force replaces it"):
        require_replaceable(delegation)
    assert our_ipam(delegation.ipam, delegation.ipam, {}) == '{"type": "spiderpool"}'


def test_files_of_others_hold_nothing_to_swap() -> None:
    assert not read_document('{"type": "multus", "clusterNetwork": "k8s-pod-network"}').delegations("calico")


# Conflists as people and programs write them: unknown keys, escapes, odd blanks, huge numbers, deep nesting.
SCALARS = st.sampled_from(["0", "-1.5e300", "true", "null", '"\\u00e4\\ud83d\\ude00"', "9" * 5000, '"ä"', '"}]"'])
ODD = SCALARS | st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
BLANKS = st.sampled_from(["", " ", "\n\t", "\r\n  "])
KEYS = st.text(max_size=4).map(json.dumps) | st.sampled_from(['"\\u0069pamx"', '"policy"', '"k8s_auth_token"'])


@st.composite
def objects(draw: st.DrawFn, known: dict[str, str]) -> str:
    """Write an object with these members and unknown ones, in any order."""
    members = [(json.dumps(key), value) for key, value in known.items()]
    members += draw(st.lists(st.tuples(KEYS, ODD), max_size=3))
    folded = [json.loads(key).casefold() for key, _ in members]
    assume(len(set(folded)) == len(folded))
    blank = draw(BLANKS)
    pairs = [f"{blank}{key}{draw(BLANKS)}:{draw(BLANKS)}{value}" for key, value in draw(st.permutations(members))]
    return "{" + f"{blank},".join(pairs) + blank + "}"


@st.composite
def conflists(draw: st.DrawFn) -> str:
    ipam = draw(objects({"type": draw(st.sampled_from(['"calico-ipam"', '"host-local"', '"spider\\u0070ool"']))}))
    calico = draw(objects({"type": '"calico"', "ipam": ipam}))
    others = draw(st.lists(objects({"type": '"portmap"'}), max_size=2))
    plugins = f"{draw(BLANKS)},{draw(BLANKS)}".join(draw(st.permutations([calico, *others])))
    return draw(BLANKS) + draw(objects({"name": '"n"', "plugins": f"[{plugins}]"})) + draw(BLANKS)


SETTINGS = st.dictionaries(st.sampled_from(["log_level", "log_file_path"]), st.text(max_size=5))


@given(conflists(), SETTINGS)
def test_swapping_twice_is_swapping_once(text: str, settings: dict[str, str]) -> None:
    once = swapped(text, **settings)
    assert swapped(once, **settings) == once


@given(conflists(), SETTINGS)
def test_putting_back_restores_every_byte(text: str, settings: dict[str, str]) -> None:
    _, before = delegating(text)
    document, delegation = delegating(swapped(text, **settings))
    assert document.with_ipam(delegation, before.ipam) == text


@given(conflists())
def test_nothing_else_is_touched(text: str) -> None:
    _, before = delegating(text)
    document, delegation = delegating(swapped(text))
    assert document.text[: delegation.start] == text[: before.start]
    assert document.text[delegation.end :] == text[before.end :]
    assert delegation.ipam_type == "spiderpool"
