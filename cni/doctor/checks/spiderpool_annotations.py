"""The check of the annotations that name SpiderPool's pools and subnets. Pure."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cni.contracts.api_objects import Namespace
from cni.contracts.pool_annotations import OF_NAMESPACE, SUBNET, SUBNETS, Item
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor import subjects
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.pool_selection import (
    FAMILIES,
    AnnotationError,
    Surroundings,
    family_of,
    items,
    matching,
    names_of,
    nearest,
    parsed,
    refusal,
    replaced,
    settings,
    surroundings,
)
from cni.doctor.subjects import Subject


@dataclass(frozen=True)
class _Fault:
    """What is wrong with an annotation; `wrong` is a name in it, and `right` the one that may be meant."""

    key: str
    text: str
    wrong: str = ""
    right: str = ""


def _find_annotations(facts: FactReader) -> Iterator[Finding]:
    around = surroundings(facts)
    seen: dict[tuple[str, str, str], Finding] = {}
    for subject in subjects.all_subjects(facts):
        for fault in _faults(subject, around, facts):
            value = subject.annotations.get(fault.key, "")
            same = (subject.namespace, value, fault.text)
            if same not in seen:  # a template comes before its pods, which have the same fault
                mend = subjects.annotate(subject, fault.key, _mended(fault, value)) if fault.right else None
                seen[same] = Finding(subject.object, f"{fault.key}: {fault.text}", mend)
    yield from seen.values()
    yield from _in_namespaces(facts.value_or("cluster.namespaces", []), around)


def _mended(fault: _Fault, value: str) -> str:
    return json.dumps(replaced(json.loads(value), fault.wrong, fault.right))


def _faults(subject: Subject, around: Surroundings, facts: FactReader) -> Iterator[_Fault]:
    said = settings(facts)
    subnet_key = next((key for key in (SUBNETS, SUBNET) if key in subject.annotations), "")
    if subnet_key and said.get("enableSpiderSubnet", True):
        known = [one["metadata"]["name"] for one in facts.value_or("cluster.spider_subnets", [])]
        is_known = facts.value_or("cluster.spider_subnets", None) is not None
        yield from _of_subnets(subject, subnet_key, known if is_known else None, said)
        return
    try:
        key, found = items(subject.annotations)
    except AnnotationError as error:
        yield _Fault(_key_of(subject), str(error))
        return
    for item in found:
        yield from _of_item(key, item, subject, around)


def _key_of(subject: Subject) -> str:
    return next(key for key in ("ipam.spidernet.io/ippools", "ipam.spidernet.io/ippool") if key in subject.annotations)


def _of_subnets(subject: Subject, key: str, known: Sequence[str] | None, said: Mapping[str, bool]) -> Iterator[_Fault]:
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
    for item in value if isinstance(value, list) else [value]:
        for name in (name for family in FAMILIES for name in names_of(item, family)):
            if known is not None and name not in known:
                yield _unknown(key, "SpiderSubnet", name, known)


def _of_item(key: str, item: Item, subject: Subject, around: Surroundings) -> Iterator[_Fault]:
    named = {family: names_of(item, family) for family in FAMILIES}
    if not any(named.values()):
        yield _Fault(key, "it names no pool, so the pod gets no address")
    elif not any(named[family] for family in around.families):
        families = " and ".join(f"IPv{family}" for family in FAMILIES if named[family])
        yield _Fault(key, f"it names {families} pools only, and SpiderPool's conf.yml does not have that enabled")
    for family in around.families:
        if named[family]:
            yield from _of_names(key, named[family], family, subject, around)


def _of_names(key: str, names: list[str], family: int, subject: Subject, around: Surroundings) -> Iterator[_Fault]:
    """Yield what is wrong with the names for a family. One that does not exist or is there twice makes all fail."""
    pools = {pool["metadata"]["name"]: pool for pool in around.pools}
    wanted = list(matching(names, family, around.pools))
    if not wanted:
        yield _Fault(key, f"no IPv{family} pool matches {', '.join(names)}")
    unknown = [name for name in dict.fromkeys(wanted) if name not in pools]
    for name in unknown:
        of_family = [one for one, pool in pools.items() if family_of(pool) == family]
        yield _unknown(key, "SpiderIPPool", name, of_family)
    for name in dict.fromkeys(name for name in wanted if wanted.count(name) > 1):
        yield _Fault(key, f"it names the pool {name} twice")
    refused = {name: refusal(pools[name], family, subject, around) for name in wanted if name in pools}
    if refused and not unknown and all(refused.values()):
        reasons = ", ".join(f"{name}: {reason}" for name, reason in refused.items())
        right = _usable_like(next(iter(refused)), family, subject, around) if len(refused) == 1 else ""
        yield _Fault(key, f"SpiderPool takes none of its IPv{family} pools: {reasons}", next(iter(refused)), right)


def _usable_like(name: str, family: int, subject: Subject, around: Surroundings) -> str:
    return nearest(name, (one for one in _usable(around.pools, family, subject, around) if one != name))


def _usable(pools: Iterable[SpiderIPPool], family: int, subject: Subject, around: Surroundings) -> Iterator[str]:
    yield from (pool["metadata"]["name"] for pool in pools if not refusal(pool, family, subject, around))


def _unknown(key: str, kind: str, name: str, names: Sequence[str]) -> _Fault:
    right = nearest(name, names)
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
                mend = _annotate_namespace(name, fault, annotations[key]) if fault.right else None
                yield Finding(f"Namespace/{name}", f"{key}: {fault.text}", mend)


def _of_namespace(key: str, value: str, family: int, name: str, around: Surroundings) -> Iterator[_Fault]:
    """Yield what is wrong for every pod of a namespace: whom a pool selects there is not looked at."""
    try:
        names: list[str] = parsed(key, value)
    except AnnotationError as error:
        yield _Fault(key, str(error))
        return
    anybody = Subject("Namespace", name, name, {}, {})
    pools = [_for_any_pod(pool) for pool in around.pools]
    if names:
        yield from _of_names(key, names, family, anybody, replace(around, pools=pools))


def _for_any_pod(pool: SpiderIPPool) -> SpiderIPPool:
    spec = pool["spec"].copy()
    spec.pop("podAffinity", None)
    return {**pool, "spec": spec}


def _annotate_namespace(name: str, fault: _Fault, value: str) -> Mend:
    said = shlex.quote(f"{fault.key}={_mended(fault, value)}")
    return command(f"kubectl annotate namespace {name} --overwrite {said}")


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
        uses=(
            *subjects.USES,
            "cluster.spider_configs",
            "cluster.spider_subnets",
            "cluster.namespaces",
            "cluster.nodes",
        ),
        find=_find_annotations,
        waits=True,
    ),
)
