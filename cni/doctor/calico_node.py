"""How calico-node is set up: by Tigera's operator, by variables of its DaemonSet, by FelixConfigurations. Pure.

Felix takes a variable of its environment before FelixConfiguration/node.NAME, and that before the one called default.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cni.contracts.calico_objects import IPPool
from cni.contracts.calico_settings import FelixConfiguration, Installation
from cni.contracts.workload_objects import Workload
from cni.doctor import suggest
from cni.doctor.check import Mend, command, manifest
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network

NAME = "calico-node"
PODS = command("kubectl get pods -A -o wide -l k8s-app=calico-node")  # the operator has them in another namespace
_MANIFEST = """\
apiVersion: projectcalico.org/v3
kind: KIND
metadata:
  name: default
spec:
  KEY: {value}
"""
ROUTE_SOURCE = "FELIX_ROUTESOURCE"  # a variable
WORKLOAD_IPS = "WorkloadIPs"
_TRUE = ("1", "t", "true", "y", "yes")


def version(facts: FactReader) -> tuple[int, int]:
    """Return Calico's version, (0, 0) where it is not known."""
    for one in facts.value_or("cluster.cluster_informations", []):
        numbers = str(one.get("spec", {}).get("calicoVersion", "")).removeprefix("v").split(".")
        if len(numbers) > 1 and all(number.isdecimal() for number in numbers[:2]):
            return int(numbers[0]), int(numbers[1])
    return 0, 0


def daemon_set(facts: FactReader) -> Workload | None:
    """Return calico-node; None where no DaemonSet has this name. NotKnown."""
    found: list[Workload] = facts.value("cluster.daemon_sets")
    return next((one for one in found if one["metadata"]["name"] == NAME), None)


def variable(facts: FactReader, name: str) -> str | None:
    """Return a variable of calico-node's; "" where its value comes from elsewhere, None without it. NotKnown."""
    found = daemon_set(facts)
    template = found.get("spec", {}).get("template", {}) if found else {}
    for container in template.get("spec", {}).get("containers", []):
        for one in container.get("env", []):
            if one["name"] == name:
                return one.get("value", "")
    return None


def set_variable(facts: FactReader, *assignments: str) -> Mend | None:
    """Return the command that sets variables of calico-node, and so starts it anew on each node. NotKnown.

    None where there is an operator, which would take them away again.
    """
    if installation(facts):
        return None
    found = daemon_set(facts)
    namespace = found["metadata"].get("namespace", "kube-system") if found else "kube-system"
    return command("kubectl -n {} set env daemonset/{} {}", namespace, NAME, [*assignments])


def installation(facts: FactReader) -> Installation | None:
    """Return what Tigera's operator has been told; None where there is no operator, or where that is not known."""
    found: list[Installation] = facts.value_or("cluster.installations", [])
    return found[0] if found else None


def detect_addresses(found: Installation, family: int) -> Mend:
    """Return the command that has the operator tell calico-node to take the nodes' addresses from Kubernetes."""
    method = {"firstFound": None, "kubernetes": "NodeInternalIP"}
    spec = {"calicoNetwork": {f"nodeAddressAutodetectionV{family}": method}}
    return suggest.operators_patch(found["metadata"]["name"], spec)


def felix_settings(facts: FactReader) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the settings of all nodes, and those of each node that has some of its own, by their object. NotKnown."""
    found: list[FelixConfiguration] = facts.value("cluster.felix_configurations")
    by_name = {one["metadata"]["name"]: one.get("spec", {}) for one in found}
    default = by_name.pop("default", {})
    yield "default", dict(default)
    for name, spec in by_name.items():
        yield name, {**default, **spec}


def route_source(facts: FactReader, settings: Mapping[str, Any]) -> str:
    """Return where Felix with these settings learns the way to other nodes' pods. NotKnown."""
    return variable(facts, ROUTE_SOURCE) or settings.get("routeSource") or "CalicoIPAM"


def knows_pods(source: str) -> bool:
    """Tell whether Felix with this routeSource knows the way to pods that are in no block of calico-ipam's."""
    return source.lower() == WORKLOAD_IPS.lower()


def set_default(facts: FactReader, kind: str, key: str, value: Any) -> Mend:
    """Return how to set this in FelixConfiguration/default or BGPConfiguration/default, which may not be there yet."""
    fact = {"FelixConfiguration": "felix_configurations", "BGPConfiguration": "bgp_configurations"}[kind]
    names = [one["metadata"]["name"] for one in facts.value_or(f"cluster.{fact}", [])]
    if "default" in names:
        return suggest.patch(facts, kind.lower(), "default", {key: value})
    return manifest(_MANIFEST.replace("KIND", kind).replace("KEY", key), value=value)


def operators_pool(facts: FactReader, cidr: str) -> tuple[str, int] | None:
    """Return the Installation that holds an IPPool, and the pool's place in it; None where none does."""
    found = installation(facts)
    pools = ((found.get("spec", {}).get("calicoNetwork") or {}).get("ipPools") or []) if found else []
    for place, one in enumerate(pools):
        if found and network(one["cidr"]) == network(cidr):
            return found["metadata"]["name"], place
    return None


def change_pool(facts: FactReader, pool: IPPool, spec: Mapping[str, Any], operators: Mapping[str, Any]) -> Mend:
    """Return the command that changes an IPPool, in the operator's words where it holds the pool."""
    held = operators_pool(facts, pool["spec"]["cidr"])
    if held is None:
        return suggest.patch(facts, "ippool", pool["metadata"]["name"], spec)
    name, place = held
    path = f"/spec/calicoNetwork/ipPools/{place}"
    patch = [{"op": "add", "path": f"{path}/{key}", "value": value} for key, value in operators.items()]
    return command("kubectl patch installations.operator.tigera.io {} --type=json -p {}", name, json.dumps(patch))


def is_true(text: str) -> bool:
    """Tell whether Felix takes the value of a variable for true."""
    return text.lower() in _TRUE
