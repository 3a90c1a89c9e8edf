"""The check of the annotations that name SpiderPool's pools and subnets. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from cni.contracts.api_objects import Named, Namespace
from cni.contracts.pool_annotations import IPPOOL, IPPOOLS, OF_NAMESPACE, SUBNET, SUBNETS, Item
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor import pool_filters, subjects
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.checks.spiderpool_pools import enabled
from cni.doctor.facts import FactReader
from cni.doctor.pool_filters import FAMILIES, Surroundings, family_of, refusal, settings, surroundings
from cni.doctor.pool_names import AnnotationError, items, names_of, parsed
from cni.doctor.pool_selection import MISSING, TWICE, Choice, choice, choices_of_item, told_by
from cni.doctor.subjects import Subject


@dataclass(frozen=True)
class _Fault:
    """What is wrong with an annotation; `wrong` is a name in it, and `right` the one that may be meant."""

    key: str
    text: str
    wrong: str = ""
    right: str = ""
    mend: Mend | None = None  # where nothing is wrong with the annotation itself


def _find_annotations(facts: FactReader) -> Iterator[Finding]:
    around = surroundings(facts)
    seen: dict[tuple[str, str, str], Finding] = {}
    for subject in subjects.all_subjects(facts):
        for fault in _faults(subject, around, facts):
            value = subject.annotations.get(fault.key, "")
            same = (subject.namespace, value, fault.text)
            if same not in seen:  # a template comes before its pods, which have the same fault
                mend = subjects.annotate(subject, fault.key, _mended(fault, value)) if fault.right else fault.mend
                seen[same] = Finding(subject.object, f"{fault.key}: {fault.text}", mend)
    yield from seen.values()
    yield from _in_namespaces(facts.value_or("cluster.namespaces", []), around)


def _mended(fault: _Fault, value: str) -> str:
    return json.dumps(_replaced(json.loads(value), fault.wrong, fault.right))


def _replaced(value: Any, wrong: str, right: str) -> Any:
    """Return what an annotation says with another name in the place of a wrong one."""
    if isinstance(value, list):
        return [_replaced(one, wrong, right) for one in value]
    if isinstance(value, dict):
        return {key: _replaced(member, wrong, right) for key, member in value.items()}
    return right if value == wrong else value


def _faults(subject: Subject, around: Surroundings, facts: FactReader) -> Iterator[_Fault]:
    key = told_by(subject, around)
    if key in (SUBNETS, SUBNET):
        known: list[Named] | None = facts.value_or("cluster.spider_subnets", None)
        yield from _of_subnets(subject, key, known, settings(facts))
    elif key in (IPPOOLS, IPPOOL):
        try:
            for interface, item in items(key, subject.annotations[key]):
                yield from _of_item(key, item, around)
                for chosen in choices_of_item(key, interface, item, subject, around):
                    yield from _of_choice(chosen, names_of(item, chosen.family), subject, around)
        except AnnotationError as error:
            yield _Fault(key, str(error))


def _of_subnets(
    subject: Subject, key: str, known: Sequence[Named] | None, said: Mapping[str, bool]
) -> Iterator[_Fault]:
    if not said.get("enableAutoPoolForApplication", True):
        yield _Fault(key, "SpiderPool refuses it, because its ipam.spiderSubnet.autoPool.enable is false")
        return
    try:
        value = parsed(key, subject.annotations[key])
    except AnnotationError as error:
        yield _Fault(key, str(error))
        return
    if not subject.has_owner:
        yield _Fault(key, "SpiderPool refuses it for a pod that no Deployment or the like has made")
    if known is None:
        return
    subnets = [one["metadata"]["name"] for one in known]
    for item in value if isinstance(value, list) else [value]:
        for name in (name for family in FAMILIES for name in names_of(item, family) if name not in subnets):
            yield _unknown(key, "SpiderSubnet", name, subnets)


def _of_item(key: str, item: Item, around: Surroundings) -> Iterator[_Fault]:
    named = [family for family in FAMILIES if names_of(item, family)]
    if not named:
        yield _Fault(key, "it names no pool, so the pod gets no address")
    elif not set(named) & set(around.families):
        families = " and ".join(f"IPv{family}" for family in named)
        yield _Fault(key, f"it names {families} pools only, and SpiderPool's conf.yml does not have that enabled")


def _of_choice(chosen: Choice, names: Sequence[str], subject: Subject, around: Surroundings) -> Iterator[_Fault]:
    """Yield what is wrong with the names for a family. One that does not exist or is there twice makes all fail."""
    key, family = chosen.key, chosen.family
    if not chosen.candidates:
        yield _Fault(key, f"no IPv{family} pool matches {', '.join(names)}")
    missing = [one.name for one in chosen.candidates if one.reason == MISSING]
    of_family = [pool["metadata"]["name"] for pool in around.pools if family_of(pool) == family]
    yield from (_unknown(key, "SpiderIPPool", name, of_family) for name in missing)
    twice = [one.name for one in chosen.candidates if one.reason == TWICE]
    yield from (_Fault(key, f"it names the pool {name} twice") for name in twice)
    if chosen.candidates and not chosen.taken and not missing and not twice:
        reasons = ", ".join(f"{one.name}: {one.reason}" for one in chosen.candidates)
        name = chosen.candidates[0].name
        right = _usable_like(name, family, subject, around) if len(chosen.candidates) == 1 else ""
        text = f"SpiderPool takes none of its IPv{family} pools: {reasons}"
        yield _Fault(key, text, name, right, enabled(chosen.candidates))


def _usable_like(name: str, family: int, subject: Subject, around: Surroundings) -> str:
    usable = [pool["metadata"]["name"] for pool in around.pools if not refusal(pool, family, subject, around)]
    return _nearest(name, usable)


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that is most like another one; "" if none is."""
    return next(iter(get_close_matches(name, list(names), n=1)), "")


def _unknown(key: str, kind: str, name: str, names: Sequence[str]) -> _Fault:
    right = _nearest(name, names)
    meant = f"; {right} may be meant" if right else ""
    return _Fault(key, f"there is no {kind} {name}{meant}", name, right)


def _in_namespaces(namespaces: Iterable[Namespace], around: Surroundings) -> Iterator[Finding]:
    for namespace in namespaces:
        name = namespace["metadata"]["name"]
        annotations: dict[str, str] = {**namespace["metadata"].get("annotations", {})}  # type: ignore[dict-item]
        for family, key in OF_NAMESPACE.items():
            if key not in annotations or family not in around.families:
                continue
            for fault in _of_namespace(key, annotations[key], family, name, around):
                mend = _annotate_namespace(name, fault, annotations[key]) if fault.right else fault.mend
                yield Finding(f"Namespace/{name}", f"{key}: {fault.text}", mend)


def _of_namespace(key: str, value: str, family: int, name: str, around: Surroundings) -> Iterator[_Fault]:
    """Yield what is wrong for every pod of a namespace: whom a pool selects there is not looked at."""
    anybody = Subject("Namespace", name, name, {}, {})
    everywhere = replace(around, pools=[_for_any_pod(pool) for pool in around.pools])
    try:
        names: list[str] = parsed(key, value)
        if names:
            yield from _of_choice(choice(key, family, names, anybody, everywhere), names, anybody, everywhere)
    except AnnotationError as error:
        yield _Fault(key, str(error))


def _for_any_pod(pool: SpiderIPPool) -> SpiderIPPool:
    spec = pool["spec"].copy()
    spec.pop("podAffinity", None)
    return {**pool, "spec": spec}


def _annotate_namespace(name: str, fault: _Fault, value: str) -> Mend:
    said = f"{fault.key}={_mended(fault, value)}"
    return command("kubectl annotate namespace {} --overwrite {}", name, said)


CHECKS = (
    Check(
        id="sp-annotations",
        part="spiderpool",
        severity="failure",
        looks_at="the annotations of pods, templates and namespaces that name SpiderPool's pools or subnets",
        why="SpiderPool refuses an address to a pod whose annotation it cannot follow, and the pod does not start.",
        to_do=(
            'Name a pool that there is: `ipam.spidernet.io/ippool: \'{"ipv4": ["POOL"]}\'`. Of a pod that nothing has'
            " made, the annotation may be changed while it waits to start; of others, change the template."
        ),
        needs=("cluster.spider_ip_pools", *subjects.NEEDS),
        uses=(*subjects.USES, *pool_filters.USES, "cluster.spider_subnets"),
        find=_find_annotations,
        waits=True,
    ),
)
