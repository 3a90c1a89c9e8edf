import time

import pytest
from hypothesis import given

from cni.installer.conflist.document import ConflistError, UnfinishedError, decode, read_document
from tests.installer.conflist.generated import HUGE, SETTINGS, conflists, delegating, swapped
from tests.installer.sample_conflists import CALICO
from tests.waiting import SLACK


def test_only_the_ipam_value_changes() -> None:
    assert swapped(CALICO) == CALICO.replace('{ "type": "calico-ipam" }', '{"type": "spiderpool"}')


def test_a_single_configuration_is_swapped_as_well() -> None:
    assert swapped('{"type":"calico","ipam":{"type":"host-local","subnet":"usePodCidr"}}') == (
        '{"type":"calico","ipam":{"type": "spiderpool"}}'
    )


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


def test_files_of_others_hold_nothing_to_swap() -> None:
    assert not read_document('{"type": "multus", "clusterNetwork": "k8s-pod-network"}').delegations("calico")


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


def test_what_is_not_utf_8_is_told_by_line_and_column_and_may_be_half_written() -> None:
    with pytest.raises(ConflistError, match=r"^not UTF-8 at line 2, column 3: invalid continuation byte$") as raised:
        decode('{\n"ä'.encode() + b'\xe4"}')
    assert not isinstance(raised.value, UnfinishedError)
    with pytest.raises(UnfinishedError, match=r"^not UTF-8 at line 1, column 2: unexpected end of data$"):
        decode(b'"\xc3')


MANY = 300_000
IPAM = '"ipam": {"type": "calico-ipam"}'
MANY_OF = {
    "keys of the file": f'{{"type": "calico", {IPAM}' + "".join(f', "k{i}": {i}' for i in range(MANY)) + "}",
    "keys of our ipam": '{"type": "calico", "ipam": {"type": "spiderpool"'
    + "".join(f', "k{i}": {i}' for i in range(MANY))
    + "}}",
    "plugins": f'{{"plugins": [{{"type": "calico", {IPAM}}}'
    + "".join(f', {{"type": "t{i}"}}' for i in range(MANY))
    + "]}",
    "types of ipam": f'{{"type": "calico", {IPAM}, "x": [0'
    + "".join(f', {{"ipam": {{"type": "t{i}"}}}}' for i in range(MANY))
    + "]}",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", MANY_OF)
def test_of_300_000_the_end_is_reached_in_seconds(what: str) -> None:
    started = time.monotonic()
    text = MANY_OF[what]
    assert len(swapped(text, log_level="info")) > len(text)
    read_document(text).ipam_types()
    read_document(text).ipam_types("calico")
    assert time.monotonic() - started < 60 + SLACK  # a machine that does nothing else takes 5 s


@pytest.mark.parametrize("text", ['{"type": "calico"' + ', "k": 1' * 20_000 + "}"])
def test_of_a_key_that_is_there_20_000_times_it_is_told_at_once(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(ConflistError, match="'k' more than once"):
        swapped(text)
    assert time.monotonic() - started < SLACK
