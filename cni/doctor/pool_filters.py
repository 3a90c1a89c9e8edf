"""Why SpiderPool takes no address out of a pool for a pod. Pure.

SpiderPool 1.2.2: selectByPod in pkg/ipam/allocate.go. Two things are taken to be well: the affinity of a pool that
SpiderPool has made for an application, and the network of an interface other than eth0.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cni.contracts.facts import Conflist
from cni.contracts.spiderpool_objects import LabelSelector, Requirement, SpiderConfig, SpiderIPPool
from cni.doctor import spiderpool_release
from cni.doctor.facts import FactReader
from cni.doctor.pool_names import ETH0
from cni.doctor.ranges import network
from cni.doctor.subjects import Subject

FAMILIES = (4, 6)
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
# The facts that `surroundings` reads where they are known, beside the pools.
USES = ("cluster.nodes", "cluster.namespaces", "cluster.spider_configs", "cluster.daemon_sets", "node.conflist")
DISABLED = "it is disabled"
CLUSTER_NETWORK = "MULTUS_CLUSTER_NETWORK"
OF_APPLICATION = "ipam.spidernet.io/owner-application-name"
_NOWHERE = "any node of the cluster"


@dataclass(frozen=True)
class Surroundings:
    """What decides beside the pod. Without nodes or namespaces, their affinities are taken to match."""

    pools: Sequence[SpiderIPPool]
    node_labels: Mapping[str, Mapping[str, str]] | None = None
    namespace_labels: Mapping[str, Mapping[str, str]] | None = None
    namespace_annotations: Mapping[str, Mapping[str, str]] | None = None
    families: tuple[int, ...] = FAMILIES  # that SpiderPool gives
    has_subnets: bool = True
    agent_namespace: str = "kube-system"
    cluster_network: str = ""  # of Multus, for pods that name none; "" where it is not known
    conflist_pools: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by the key of the conflist
    by_name: Mapping[str, SpiderIPPool] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the pools by their names."""
        object.__setattr__(self, "by_name", {pool["metadata"]["name"]: pool for pool in self.pools})


def surroundings(facts: FactReader) -> Surroundings:
    """Return them as they were read. NotKnown, if there are no pools."""
    said, namespaces = settings(facts), facts.value_or("cluster.namespaces", None)
    conflist: Conflist | None = facts.value_or("node.conflist", None)  # which says the same on each node
    return Surroundings(
        pools=facts.value("cluster.spider_ip_pools"),
        node_labels=_by_name(facts.value_or("cluster.nodes", None), "labels"),
        namespace_labels=_by_name(namespaces, "labels"),
        namespace_annotations=_by_name(namespaces, "annotations"),
        families=tuple(family for family in FAMILIES if said.get(f"enableIPv{family}", True)),
        has_subnets=said.get("enableSpiderSubnet", True),
        agent_namespace=spiderpool_release.helm(facts).namespace,
        cluster_network=cluster_network(facts),
        conflist_pools=conflist["pools"] if conflist else {},
    )


def settings(facts: FactReader) -> Mapping[str, Any]:
    """Return what conf.yml says; nothing where it is not known."""
    config = config_of(facts)
    found: Mapping[str, Any] = config.get("data", {}).get("conf.yml", {}) if config else {}
    return found


def config_of(facts: FactReader) -> SpiderConfig | None:
    """Return SpiderPool's ConfigMap; None where it is not known. There may be others of its name, by anybody."""
    found: list[SpiderConfig] = facts.value_or("cluster.spider_configs", [])
    agent = spiderpool_release.component(facts.value_or("cluster.daemon_sets", []), spiderpool_release.AGENT)
    namespace = agent["metadata"].get("namespace", "") if agent else ""
    return next(
        (one for one in found if not namespace or one["metadata"].get("namespace", namespace) == namespace), None
    )


def _by_name(objects: Sequence[Any] | None, member: str) -> Mapping[str, Mapping[str, str]] | None:
    return None if objects is None else {one["metadata"]["name"]: one["metadata"].get(member, {}) for one in objects}


def cluster_network(facts: FactReader) -> str:
    """Return the network that Multus gives to pods that name none, by the agent; "" where that is not known."""
    agent = spiderpool_release.component(facts.value_or("cluster.daemon_sets", []), spiderpool_release.AGENT)
    own = spiderpool_release.container(agent, spiderpool_release.AGENT) if agent else None
    return (
        next((one.get("value", "") for one in own.get("env", []) if one["name"] == CLUSTER_NETWORK), "") if own else ""
    )


def family_of(pool: SpiderIPPool) -> int:
    """Return the family of a pool."""
    return pool["spec"].get("ipVersion") or network(pool["spec"]["subnet"]).version


def refusal(pool: SpiderIPPool, family: int, subject: Subject, around: Surroundings, interface: str = ETH0) -> str:
    """Return why SpiderPool takes no address out of a pool; "" if it does."""
    spec = pool["spec"]
    if pool["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    if spec.get("disable"):
        return DISABLED
    if family_of(pool) != family:
        return f"it is an IPv{family_of(pool)} pool"
    if reason := _by_node(pool, subject, around) or _by_namespace(pool, subject, around):
        return reason
    if "podAffinity" in spec and OF_APPLICATION in pool["metadata"].get("labels", {}):
        return ""
    if "podAffinity" in spec and not selects(spec["podAffinity"], subject.labels):
        return "its podAffinity does not match the pod's labels"
    return _by_network(pool, subject, around) if interface == ETH0 else ""


def _by_node(pool: SpiderIPPool, subject: Subject, around: Surroundings) -> str:
    """Say why a pool is not for the pod's node; for that of a template, which is not known yet, any node does."""
    labels, spec = around.node_labels, pool["spec"]
    wanted = [subject.node] if subject.node else list(labels or {})
    if names := spec.get("nodeName"):
        is_for = any(name in names for name in wanted) or (labels is None and not subject.node)
        return "" if is_for else f"its nodeName does not have {subject.node or _NOWHERE}"
    if labels is None or "nodeAffinity" not in spec:
        return ""
    is_for = any(name in labels and selects(spec["nodeAffinity"], labels[name]) for name in wanted)
    return "" if is_for else f"its nodeAffinity does not match the labels of {subject.node or _NOWHERE}"


def _by_namespace(pool: SpiderIPPool, subject: Subject, around: Surroundings) -> str:
    labels, spec = around.namespace_labels, pool["spec"]
    if names := spec.get("namespaceName"):
        return "" if subject.namespace in names else f"its namespaceName does not have {subject.namespace}"
    if labels is None or "namespaceAffinity" not in spec:
        return ""
    is_for = selects(spec["namespaceAffinity"], labels.get(subject.namespace, {}))
    return "" if is_for else f"its namespaceAffinity does not match the labels of {subject.namespace}"


def _by_network(pool: SpiderIPPool, subject: Subject, around: Surroundings) -> str:
    own = subject.annotations.get(DEFAULT_NETWORK) or around.cluster_network
    if not _first_network(own) or is_for_network(pool, own, around.agent_namespace):
        return ""
    return (
        f"its multusName does not have {full_name(_first_network(own), around.agent_namespace)}, the network of {ETH0}"
    )


def is_for_network(pool: SpiderIPPool, own: str, agent_namespace: str) -> bool:
    """Tell whether a pool is for a network of Multus: it names it, or none at all."""
    names = [full_name(name, agent_namespace) for name in pool["spec"].get("multusName", [])]
    return not names or full_name(_first_network(own), agent_namespace) in names


def full_name(name: str, agent_namespace: str) -> str:
    """Return NAMESPACE/NAME of a network of Multus'."""
    return name if "/" in name else f"{agent_namespace}/{name}"


def _first_network(text: str) -> str:
    """Return the first network that Multus would read: of JSON, or of NAMESPACE/NAME@INTERFACE and commas."""
    if not any(char in text for char in '[{"'):
        return text.partition(",")[0].partition("@")[0].strip()
    try:
        first = json.loads(text)[0]
        return f"{first['namespace']}/{first['name']}" if first.get("namespace") else str(first["name"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Tell whether a selector of Kubernetes matches labels."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        _meets(requirement, labels) for requirement in selector.get("matchExpressions", [])
    )


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Tell whether labels meet a rule; nothing meets one that Kubernetes refuses."""
    value = labels.get(requirement["key"])
    values = requirement.get("values", [])
    found: Mapping[str, bool] = {
        "In": value in values,
        "NotIn": value not in values and bool(values),
        "Exists": value is not None and not values,
        "DoesNotExist": value is None and not values,
    }
    return found.get(requirement["operator"], False)
