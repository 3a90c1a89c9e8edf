"""The chain of plugins in a copy: what is Calico's, what is others', and what is gone."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.installer.conflist.chain import CALICOS_TYPES, Chain, chain, is_calicos, parse_copy, without
from cni.installer.conflist.document import read_document
from tests.installer.sample_conflists import CALICO, SWAPPED

ISTIO = '{"type":"istio-cni",  "log_level": "info"}'
NEWER_ISTIO = '{"type": "istio-cni", "log_level": "debug"}'
LINKERD = '{"log_level":"info","type":"linkerd-cni"}'


def conflist(*objects: str) -> str:
    """Return a list that has our ipam, and then these."""
    end = SWAPPED.rindex("}\n  ]")
    return SWAPPED[: end + 1] + "".join(f",\n    {text}" for text in objects) + SWAPPED[end + 1 :]


def chained(
    source: str,
    copy: str | None = None,
    *,
    known: Mapping[str, str] | None = None,
    taken_out: Collection[str] = (),
    missing: Collection[str] = (),
    seen: Collection[str] | None = None,
) -> Chain:
    """Look at a copy; what is missing was there before, unless `seen` says else."""
    document = None if copy is None else parse_copy(copy.encode(), "k8s-pod-network")
    return chain(
        read_document(source),
        "calico",
        document,
        known=known or {},
        taken_out=taken_out,
        seen=missing if seen is None else seen,
        has_executable=lambda name: name not in missing,
    )


def again(source: str, before: Chain, copy: str, **options: Any) -> Chain:
    """Look at the copy once more, with what was remembered."""
    return chained(source, copy, known=before.others, taken_out=before.taken_out, **options)


def types(text: str) -> list[str]:
    return [plugin["type"] for plugin in json.loads(text)["plugins"]]


def test_where_nothing_is_chained_the_copy_has_the_very_bytes_of_its_source() -> None:
    assert chained(SWAPPED) == Chain(SWAPPED, {}, [], [], [])
    assert chained(SWAPPED, CALICO).text == SWAPPED
    assert chained(SWAPPED, "{").text == SWAPPED


def test_what_is_chained_in_the_source_is_in_the_copy() -> None:
    made = chained(conflist(ISTIO))
    assert (made.text, made.others) == (conflist(ISTIO), {"istio-cni": f"[{ISTIO}]"})


@pytest.mark.parametrize("indent", [None, 2])
def test_a_copy_that_says_the_same_keeps_the_bytes_of_whoever_wrote_it(indent: int | None) -> None:
    copy = json.dumps(json.loads(conflist(ISTIO, LINKERD)), indent=indent, sort_keys=True)
    made = chained(SWAPPED, copy)
    assert made.text == copy
    assert made.others == {"istio-cni": "[]", "linkerd-cni": "[]"}


def test_an_object_of_others_is_kept_byte_for_byte_when_the_source_changes() -> None:
    newer = SWAPPED.replace('"mtu": 0', '"mtu": 1450')
    made = chained(newer, conflist(ISTIO, LINKERD))
    assert '"mtu": 1450' in made.text
    assert ISTIO in made.text
    assert LINKERD in made.text
    assert types(made.text) == ["calico", "portmap", "istio-cni", "linkerd-cni"]


def test_what_the_source_adds_at_its_end_comes_before_what_others_have_appended() -> None:
    made = chained(conflist('{"type": "bandwidth"}'), conflist(ISTIO))
    assert types(made.text) == ["calico", "portmap", "bandwidth", "istio-cni"]


def test_others_choose_where_their_object_stands() -> None:
    copy = SWAPPED.replace('{"type": "portmap"', f'{ISTIO},{{"type": "portmap"')
    assert chained(SWAPPED, copy).text == copy
    assert types(chained(conflist('{"type": "tuning"}'), copy).text) == ["calico", "istio-cni", "portmap", "tuning"]


def test_two_objects_of_one_type_stay_two() -> None:
    source = conflist(ISTIO, NEWER_ISTIO)
    made = chained(source)
    assert (
        again(source, made, made.text)
        == made
        == Chain(source, {"istio-cni": f"[{ISTIO}, {NEWER_ISTIO}]"}, [], [], ["istio-cni"])
    )
    assert types(chained(SWAPPED, source).text).count("istio-cni") == 2


def test_what_others_change_in_the_copy_stays() -> None:
    made = chained(conflist(ISTIO))
    assert NEWER_ISTIO in again(conflist(ISTIO), made, conflist(NEWER_ISTIO)).text


def test_what_is_changed_in_the_source_later_comes_into_the_copy() -> None:
    made = chained(conflist(ISTIO))
    newer = again(conflist(NEWER_ISTIO), made, made.text)
    assert newer.text == conflist(NEWER_ISTIO)
    assert again(conflist(NEWER_ISTIO), newer, newer.text) == newer


def test_what_is_taken_out_of_the_copy_stays_out_until_the_source_has_it_anew() -> None:
    made = chained(conflist(ISTIO))
    out = again(conflist(ISTIO), made, SWAPPED)
    assert (types(out.text), out.others, out.taken_out) == (["calico", "portmap"], {}, ["istio-cni"])
    for copy in (out.text, None):  # also where the copy is removed
        still = chained(conflist(ISTIO), copy, known=out.others, taken_out=out.taken_out)
        assert (still.text, still.taken_out) == (out.text, ["istio-cni"])
    gone = again(SWAPPED, out, out.text)
    assert gone.taken_out == []
    assert ISTIO in again(conflist(ISTIO), gone, gone.text).text


def test_what_is_put_into_the_copy_again_is_not_taken_out_any_more() -> None:
    made = chained(conflist(ISTIO), conflist(NEWER_ISTIO), taken_out=["istio-cni"])
    assert NEWER_ISTIO in made.text
    assert made.taken_out == []


def test_only_who_keeps_our_ipam_has_taken_a_plugin_out() -> None:
    made = chained(conflist(ISTIO))
    assert again(conflist(ISTIO), made, CALICO).text == conflist(ISTIO)
    undone = conflist(LINKERD).replace("spiderpool", "calico-ipam")
    assert types(again(conflist(ISTIO), made, undone).text) == ["calico", "portmap", "linkerd-cni", "istio-cni"]


def test_a_plugin_without_an_executable_is_left_out_and_told_wherever_it_stands() -> None:
    for source, copy in ((conflist(ISTIO), None), (SWAPPED, conflist(ISTIO)), (conflist(ISTIO), conflist(ISTIO))):
        made = chained(source, copy, missing=["istio-cni"])
        assert made == Chain(SWAPPED, {}, [], ["istio-cni"], ["istio-cni"]) or json.loads(made.text) == json.loads(
            SWAPPED
        )
        assert made.without_executable == ["istio-cni"]


def test_a_plugin_whose_executable_was_never_there_stays() -> None:
    """Runtimes may have other folders of plugins, too, as CRI-O has."""
    for source, copy in ((conflist(ISTIO), None), (SWAPPED, conflist(ISTIO))):
        made = chained(source, copy, missing=["istio-cni"], seen=[])
        assert (made.text, made.without_executable, made.seen) == (conflist(ISTIO), [], [])
    seen = chained(conflist(ISTIO), conflist(ISTIO), seen=[])
    assert seen.seen == ["istio-cni"]
    assert again(conflist(ISTIO), seen, seen.text, missing=["istio-cni"], seen=seen.seen).text == SWAPPED


def test_a_plugin_of_the_source_comes_back_with_its_executable() -> None:
    out = chained(conflist(ISTIO), conflist(ISTIO), missing=["istio-cni"])
    assert types(again(conflist(ISTIO), out, out.text).text) == ["calico", "portmap", "istio-cni"]


def test_a_file_of_another_network_is_no_copy() -> None:
    other = conflist(ISTIO).replace("k8s-pod-network", "another")
    assert parse_copy(other.encode(), "k8s-pod-network") is None
    assert parse_copy(None, "k8s-pod-network") is None
    assert parse_copy(b'{"name": "k8s-pod-network", "plugins": {}}', "k8s-pod-network") is None


def test_a_file_with_anything_that_calico_does_not_write_is_not_calicos() -> None:
    assert is_calicos(read_document(CALICO))
    assert not is_calicos(read_document(conflist(ISTIO)))
    assert not is_calicos(read_document('{"plugins": 1}'))


CALICOS = [json.dumps({"type": name}) for name in sorted(CALICOS_TYPES - {"calico"})]
OTHERS = [f'{{"type": "{name}", "n":  {number}}}' for name in ("istio-cni", "linkerd-cni", "sbr") for number in (1, 2)]
NAMES = st.sets(st.sampled_from(["istio-cni", "linkerd-cni", "sbr"]))
TEXTS = st.lists(st.sampled_from(CALICOS + OTHERS), max_size=6).map(lambda texts: conflist(*texts))


@st.composite
def looks(draw: st.DrawFn) -> tuple[str, str | None, dict[str, Any]]:
    """Return a source, its copy and the rest of what a look at them takes."""
    known = {name: draw(st.sampled_from(["[]", f'[{{"type": "{name}", "n": 1}}]'])) for name in draw(NAMES)}
    options = {"known": known, "taken_out": draw(NAMES), "missing": draw(NAMES)}
    return draw(TEXTS), draw(TEXTS | st.none()), options


@given(looks())
def test_a_second_look_changes_nothing(look: tuple[str, str | None, dict[str, Any]]) -> None:
    source, copy, options = look
    first = chained(source, copy, **options)
    second = again(source, first, first.text, missing=options["missing"])
    assert (second.text, second.others, second.taken_out) == (first.text, first.others, first.taken_out)


@given(looks())
def test_what_is_calicos_comes_from_the_source_alone_and_in_its_order(
    look: tuple[str, str | None, dict[str, Any]],
) -> None:
    source, copy, options = look
    made = read_document(chained(source, copy, **options).text)
    own = [plugin.text for plugin in made.plugins() if plugin.type in CALICOS_TYPES]
    assert own == [plugin.text for plugin in read_document(source).plugins() if plugin.type in CALICOS_TYPES]


@given(looks())
def test_what_is_others_is_kept_byte_for_byte_and_none_is_lost_or_made_up(
    look: tuple[str, str | None, dict[str, Any]],
) -> None:
    source, copy, options = look
    made = chained(source, copy, **options)
    files = [read_document(text) for text in (source, copy) if text]
    sides = [{name: _texts(file, name) for name in _others(file)} for file in files]
    found = read_document(made.text)
    for name in _others(found):
        assert _texts(found, name) in [side.get(name) for side in sides]
    left_out = {*made.taken_out, *made.without_executable}
    assert _others(found) == {name for side in sides for name in side} - left_out
    assert set(made.others) == _others(found)
    assert left_out <= {name for side in sides for name in side}
    assert set(made.without_executable) <= options["missing"]


@given(TEXTS)
def test_the_first_copy_has_the_very_bytes_of_its_source(source: str) -> None:
    assert chained(source).text == source


def _others(document: Any) -> set[str]:
    return {plugin.type for plugin in document.plugins()} - CALICOS_TYPES


def _texts(document: Any, name: str) -> list[str]:
    return [plugin.text for plugin in document.plugins() if plugin.type == name]


def test_a_plugin_is_taken_out_of_a_file_and_every_other_byte_stays() -> None:
    both = conflist(ISTIO, LINKERD)
    assert without(read_document(both), ["istio-cni"]) == conflist(LINKERD)
    assert without(read_document(both), ["linkerd-cni", "istio-cni"]) == SWAPPED
    assert without(read_document(both), ["calico", "none"]) == both
