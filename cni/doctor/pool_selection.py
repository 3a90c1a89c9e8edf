"""Which pools SpiderPool takes for a pod, and why it takes others not. Pure.

SpiderPool 1.2.2: pkg/ipam/pool_selections.go, and selectByPod in pkg/ipam/allocate.go. Multus' part of it is left out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import ValidationError

from cni.contracts.pool_annotations import CONTRACTS, IPPOOL, IPPOOLS, Item
from cni.contracts.spiderpool_objects import LabelSelector, Requirement, SpiderIPPool
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network
from cni.doctor.subjects import Subject
from cni.installer.errors import first_fault

FAMILIES = (4, 6)
ETH0 = "eth0"
_KEYS: Mapping[int, Literal["ipv4", "ipv6"]] = {4: "ipv4", 6: "ipv6"}


class AnnotationError(ValueError):
    """What is wrong with an annotation."""


@dataclass(frozen=True)
class Surroundings:
    """What pools' affinities look at. Without nodes or namespaces, those affinities are taken to match."""

    pools: Sequence[SpiderIPPool]
    node_labels: Mapping[str, Mapping[str, str]] | None = None
    namespace_labels: Mapping[str, Mapping[str, str]] | None = None
    families: tuple[int, ...] = FAMILIES  # that SpiderPool gives


def surroundings(facts: FactReader) -> Surroundings:
    """Return them as they were read. NotKnown, if there are no pools."""
    return Surroundings(
        pools=facts.value("cluster.spider_ip_pools"),
        node_labels=_labels(facts.value_or("cluster.nodes", None)),
        namespace_labels=_labels(facts.value_or("cluster.namespaces", None)),
        families=tuple(family for family in FAMILIES if settings(facts).get(f"enableIPv{family}", True)),
    )


def settings(facts: FactReader) -> Mapping[str, bool]:
    """Return what conf.yml says; nothing where it is not known."""
    for config in facts.value_or("cluster.spider_configs", []):
        found: Mapping[str, bool] = config.get("data", {}).get("conf.yml", {})
        return found
    return {}


def _labels(objects: Sequence[Any] | None) -> Mapping[str, Mapping[str, str]] | None:
    if objects is None:
        return None
    return {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in objects}


def parsed(key: str, text: str) -> Any:
    """Return what an annotation says. AnnotationError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"it is not JSON: {error}") from None
    try:
        return CONTRACTS[key].validate_python(value, strict=True)
    except ValidationError as error:
        raise AnnotationError(f"it has another shape than SpiderPool reads: {first_fault(error)}") from None


def items(annotations: Mapping[str, str]) -> tuple[str, list[Item]]:
    """Return the annotation that SpiderPool takes the pools of, and its items. "" if there is none. AnnotationError."""
    if IPPOOLS in annotations:
        found: list[Item] = parsed(IPPOOLS, annotations[IPPOOLS])
        _check_interfaces(found)
        return IPPOOLS, found
    if IPPOOL in annotations:
        return IPPOOL, [parsed(IPPOOL, annotations[IPPOOL])]
    return "", []


def _check_interfaces(found: Sequence[Item]) -> None:
    """Check what validateAndMutateMultipleNICAnnotations checks. AnnotationError."""
    names = [item.get("interface", "") for item in found]
    if not names:
        raise AnnotationError("it has no item")
    if any(names) and not all(names):
        raise AnnotationError("some of its items name an interface, and others do not")
    for name in names:
        if name and names.count(name) > 1:
            raise AnnotationError(f"it names the interface {name} more than once")
    if all(names) and ETH0 not in names:
        raise AnnotationError(f"it names the interfaces {', '.join(names)}, and not {ETH0}")


def names_of(item: Item, family: int) -> list[str]:
    """Return the names or patterns that an item has for a family."""
    return list(item.get(_KEYS[family], []))


def replaced(value: Any, wrong: str, right: str) -> Any:
    """Return what an annotation says with another name in the place of a wrong one."""
    if isinstance(value, list):
        return [replaced(one, wrong, right) for one in value]
    if isinstance(value, dict):
        return {key: replaced(member, wrong, right) for key, member in value.items()}
    return right if value == wrong else value


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that is most like another one; "" if none is."""
    return next(iter(get_close_matches(name, list(names), n=1)), "")


def is_pattern(name: str) -> bool:
    """Tell whether a name is a pattern."""
    return "*" in name or "?" in name or ("[" in name and "]" in name)


def family_of(pool: SpiderIPPool) -> int:
    """Return the family of a pool."""
    return pool["spec"].get("ipVersion") or network(pool["spec"]["subnet"]).version


def matching(names: Iterable[str], family: int, pools: Iterable[SpiderIPPool]) -> Iterator[str]:
    """Yield the names, and in the place of each pattern the pools of the family that match it."""
    of_family = [pool["metadata"]["name"] for pool in pools if family_of(pool) == family]
    for name in names:
        if is_pattern(name):
            yield from (one for one in of_family if fnmatchcase(one, name))
        else:
            yield name


def refusal(pool: SpiderIPPool, family: int, subject: Subject, around: Surroundings) -> str:
    """Return why SpiderPool takes no address out of a pool; "" if it does."""
    spec = pool["spec"]
    if pool["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    if spec.get("disable"):
        return "it is disabled"
    if family_of(pool) != family:
        return f"it is an IPv{family_of(pool)} pool"
    if not _is_for_node(pool, subject, around):
        return f"it is not for {subject.node or 'any node of the cluster'}"
    if not _is_for_namespace(pool, subject, around):
        return f"it is not for the namespace {subject.namespace}"
    is_made_by_spiderpool = "ipam.spidernet.io/owner-application-name" in pool["metadata"].get("labels", {})
    if "podAffinity" in spec and not is_made_by_spiderpool and not selects(spec["podAffinity"], subject.labels):
        return "its podAffinity does not match the pod's labels"
    return ""


def _is_for_node(pool: SpiderIPPool, subject: Subject, around: Surroundings) -> bool:
    labels = around.node_labels
    wanted = [subject.node] if subject.node else list(labels or {})
    if names := pool["spec"].get("nodeName"):
        return labels is None or any(name in names for name in wanted)
    if labels is None or "nodeAffinity" not in pool["spec"]:
        return True
    return any(selects(pool["spec"]["nodeAffinity"], labels.get(name, {})) for name in wanted)


def _is_for_namespace(pool: SpiderIPPool, subject: Subject, around: Surroundings) -> bool:
    if names := pool["spec"].get("namespaceName"):
        return subject.namespace in names
    if around.namespace_labels is None or "namespaceAffinity" not in pool["spec"]:
        return True
    return selects(pool["spec"]["namespaceAffinity"], around.namespace_labels.get(subject.namespace, {}))


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Tell whether a selector of Kubernetes matches labels."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        _meets(requirement, labels) for requirement in selector.get("matchExpressions", [])
    )


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement["key"])
    values = requirement.get("values", [])
    found: Mapping[str, bool] = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return found.get(requirement["operator"], False)
