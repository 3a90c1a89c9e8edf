"""Which of SpiderPool's pools a pod may have its address from, and why not the others. Pure.

spiderpool pkg/ipam/pool_selections.go: the pod's annotations, its namespace's, the default pools.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cni.contracts.api_objects import Namespace, Pod
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network

# Of a pod; the first that is there counts.
ANNOTATIONS = ("ipam.spidernet.io/ippools", "ipam.spidernet.io/ippool")


class Choice(NamedTuple):
    """The pools that a pod may have its address from, and who has chosen them."""

    by: str
    names: list[str]


def chosen_pools(facts: FactReader, pod: Pod, family: int) -> Choice | None:
    """Return the pools that are chosen for eth0 of a pod; None where the family is not asked for. NotKnown."""
    annotations: Mapping[str, str] = dict(pod["metadata"].get("annotations", {}))  # type: ignore[arg-type]
    for key in ANNOTATIONS:
        if key in annotations:
            names = _annotated(annotations[key], family)
            return Choice(f"the pod's annotation {key}", names) if names else None
    namespaces: list[Namespace] = facts.value("cluster.namespaces")
    key = f"ipam.spidernet.io/default-ipv{family}-ippool"
    for namespace in namespaces:
        if namespace["metadata"]["name"] == pod["metadata"].get("namespace"):
            told: Mapping[str, str] = dict(namespace["metadata"].get("annotations", {}))  # type: ignore[arg-type]
            if key in told:
                return Choice(f"the namespace's annotation {key}", _texts(_parsed(told[key])))
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    defaults = [pool for pool in pools if pool["spec"].get("default") and _family(pool) == family]
    return Choice("default", [pool["metadata"]["name"] for pool in defaults]) if defaults else None


def refusal(pool: SpiderIPPool | None, pod: Pod, family: int) -> str:
    """Say why a pool gives this pod no address, "" if it may."""
    if pool is None:
        return "there is no such pool"
    spec = pool["spec"]
    if spec.get("disable"):
        return "it is disabled"
    if "deletionTimestamp" in pool["metadata"]:
        return "it is being deleted"
    if _family(pool) != family:
        return f"it is of IPv{_family(pool)}"
    node, namespace = pod.get("spec", {}).get("nodeName", ""), pod["metadata"].get("namespace", "")
    if spec.get("nodeName") and node not in spec["nodeName"]:
        return f"it is not for node {node}"
    if spec.get("namespaceName") and namespace not in spec["namespaceName"]:
        return f"it is not for namespace {namespace}"
    return ""


def _annotated(text: str, family: int) -> list[str]:
    told = _parsed(text)
    objects = told if isinstance(told, list) else [told]
    for one in objects:
        if isinstance(one, dict) and one.get("interface", "eth0") in ("", "eth0"):
            return _texts(one.get(f"ipv{family}"))
    return []


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _family(pool: SpiderIPPool) -> int:
    return network(pool["spec"]["subnet"]).version
