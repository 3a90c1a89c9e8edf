"""Which pools SpiderPool takes for a pod, and who has named them. Pure.

SpiderPool 1.2.2: pkg/ipam/pool_selections.go, and sortPoolCandidates in pkg/ipam/allocate.go.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cni.contracts.pool_annotations import IPPOOL, IPPOOLS, OF_CONFLIST, OF_NAMESPACE, SUBNET, SUBNETS, Item
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor.pool_filters import FAMILIES, Surroundings, family_of, refusal
from cni.doctor.pool_names import ETH0, AnnotationError, is_pattern, items, matching, names_of, parsed
from cni.doctor.subjects import Subject

MISSING = "there is no such pool"
TWICE = "it is named twice"
_FOR_ALL = (MISSING, TWICE)  # beside such a name, SpiderPool takes none of the others


class Candidate(NamedTuple):
    """A pool that is named for a pod."""

    name: str
    reason: str  # why SpiderPool takes no address out of it; "" where it does


class Choice(NamedTuple):
    """The pools that are named for an address of one family of one interface."""

    key: str  # the annotation, or the conflist's key, that names them; "" where they are the default ones
    interface: str
    family: int
    candidates: Sequence[Candidate]

    @property
    def taken(self) -> list[str]:
        """The pools that SpiderPool asks, one after the other. Where candidates leave none, it refuses the pod."""
        if any(one.reason in _FOR_ALL for one in self.candidates):
            return []
        return [one.name for one in self.candidates if not one.reason]


def told_by(subject: Subject, around: Surroundings) -> str:
    """Return the annotation, or the conflist's key, that says where a pod's addresses come from; "" where the default
    pools are taken."""
    keys = (SUBNETS, SUBNET, IPPOOLS, IPPOOL) if around.has_subnets else (IPPOOLS, IPPOOL)
    own = next((key for key in keys if key in subject.annotations), "")
    told = _of_namespace(subject, around)
    of_namespace = (key for key in OF_NAMESPACE.values() if key in told and _names_any(key, told[key]))
    return own or next(of_namespace, "") or next(iter(around.conflist_pools), "")


def _of_namespace(subject: Subject, around: Surroundings) -> Mapping[str, str]:
    return (around.namespace_annotations or {}).get(subject.namespace, {})


def _names_any(key: str, text: str) -> bool:
    try:
        return bool(parsed(key, text))
    except AnnotationError:
        return True  # which SpiderPool refuses the pod for


def choices(subject: Subject, around: Surroundings) -> list[Choice]:
    """Return what is chosen for a pod; nothing, where it has a SpiderSubnet or nobody has chosen. AnnotationError."""
    key = told_by(subject, around)
    if key in (SUBNETS, SUBNET):
        return []
    if key in (IPPOOLS, IPPOOL):
        named = items(key, subject.annotations[key])
        return [one for name, item in named for one in choices_of_item(key, name, item, subject, around)]
    told, found = _of_namespace(subject, around), []
    for family in FAMILIES:
        its_key = "" if not key else OF_NAMESPACE[family] if key in told else OF_CONFLIST[family]
        if its_key in OF_CONFLIST.values():
            names = around.conflist_pools.get(its_key, [])
        else:
            names = parsed(its_key, told.get(its_key, "[]")) if its_key else _default_names(around, family)
        if names:
            found.append(choice(its_key, family, names, subject, around))
    return [one for one in found if one.family in around.families]  # after all patterns have been read


def _default_names(around: Surroundings, family: int) -> list[str]:
    default = (name for name, pool in around.by_name.items() if pool["spec"].get("default"))
    return [name for name in default if family_of(around.by_name[name]) == family]


def choices_of_item(key: str, interface: str, item: Item, subject: Subject, around: Surroundings) -> Iterator[Choice]:
    """Yield what an item of a pod's annotation chooses. AnnotationError, also of a family that is not given."""
    named = {family: names for family in FAMILIES if (names := names_of(item, family))}
    found = [choice(key, family, names, subject, around, interface) for family, names in named.items()]
    yield from (one for one in found if one.family in around.families)


def choice(
    key: str, family: int, names: Iterable[str], subject: Subject, around: Surroundings, interface: str = ETH0
) -> Choice:
    """Return what these names and patterns choose; those are first that SpiderPool asks first. AnnotationError."""
    pools = around.by_name
    wanted = [one for name in names for one in (_matching(key, name, family, around) if is_pattern(name) else [name])]
    found = []
    for name in sorted(dict.fromkeys(wanted), key=lambda name: _rank(pools.get(name))):
        reason = refusal(pools[name], family, subject, around, interface) if name in pools else MISSING
        found.append(Candidate(name, TWICE if wanted.count(name) > 1 else reason))
    return Choice(key, interface, family, found)


def _matching(key: str, pattern: str, family: int, around: Surroundings) -> list[str]:
    return matching(key, pattern, [name for name, pool in around.by_name.items() if family_of(pool) == family])


def _rank(pool: SpiderIPPool | None) -> list[bool]:
    """Return what pools are sorted by: those that are for some pods only come first (ByPoolPriority)."""
    spec: Mapping[str, object] = dict(pool["spec"]) if pool else {}
    return [
        "podAffinity" not in spec,
        not spec.get("nodeName"),
        "nodeAffinity" not in spec,
        not spec.get("namespaceName"),
        "namespaceAffinity" not in spec,
        not spec.get("multusName"),
    ]
