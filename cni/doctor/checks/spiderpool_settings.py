"""Checks of how SpiderPool is set: its network of Multus', its detection, its collection of garbage. Pure."""

import re
from collections.abc import Iterator, Mapping

from cni.contracts.api_objects import Named
from cni.contracts.workload_objects import Workload
from cni.doctor import spiderpool_release
from cni.doctor.check import Check, Finding, Mend, manifest
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.pool_filters import CLUSTER_NETWORK, full_name, settings
from cni.doctor.spiderpool_release import AGENT, CONTROLLER, Release

_NEEDS_MULTUS = (1, 1, 0)  # the first release that asks for it: pkg/ipam/allocate.go
_DETECTIONS = ("enableIPConflictDetection", "enableGatewayDetection")
_GC_ENABLED = "SPIDERPOOL_GC_IP_ENABLED"
_GC_SECONDS = "SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION"
_GC_OF_ZOMBIES = {
    "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_READY_NODE_ENABLED": "zombieOnReadyNode",
    "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_NOT_READY_NODE_ENABLED": "zombieOnNotReadyNode",
}
_DEFAULT_GC, _LONGEST_GC = 600, 3600  # seconds between two rounds
_DIGITS = 10
_NAME = re.compile("[a-z0-9.-]+")  # of an object; helm would take what is after a comma for another setting
_NETWORK = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: {name}  # without a spec.config, Multus takes the file of this network name
  namespace: {namespace}
"""


def _environment(workload: Workload, name: str) -> Mapping[str, str | None]:
    """Return the variables that are read of a workload's program; None for a value that comes from elsewhere."""
    own = spiderpool_release.container(workload, name)
    return {one["name"]: one.get("value") for one in own.get("env", [])} if own else {}


def _find_multus_network(facts: FactReader) -> Iterator[Finding]:
    agent = spiderpool_release.agent(facts)
    if agent is None or _environment(agent, AGENT).get(CLUSTER_NETWORK, "") != "":
        return
    version = spiderpool_release.version(agent, AGENT)
    if version and version < _NEEDS_MULTUS:
        return
    release = spiderpool_release.release(agent)
    name = f"DaemonSet/{release.namespace}/{agent['metadata']['name']}"
    seen = f"its agent has no {CLUSTER_NETWORK} in its environment"
    mend = release.upgrade("multus.multusCNI.defaultCniCRName=k8s-pod-network")
    if version:
        yield Finding(name, f"{seen}, and is release {'.'.join(map(str, version))}", mend)
    else:
        yield Finding(name, f"{seen}, and its image does not tell its release", mend, severity="warning")


def _find_multus_changed(facts: FactReader) -> Iterator[Finding]:
    agent = spiderpool_release.agent(facts)
    on_node: str | None = facts.value_or("node.multus_network", None)
    told = _environment(agent, AGENT).get(CLUSTER_NETWORK) if agent else None
    # Nobody looks the network up without Multus on the node, or where it is told a file or a folder.
    if not told or (on_node is not None and on_node[:1] in ("", "/")):
        return
    release = spiderpool_release.release(agent)
    wanted = full_name(told, release.namespace)
    networks: list[Named] = facts.value("cluster.networks")
    if wanted not in (f"{one['metadata'].get('namespace')}/{one['metadata']['name']}" for one in networks):
        namespace, _, name = wanted.partition("/")
        mend = manifest(_NETWORK, name=name, namespace=namespace)
        yield Finding(
            f"NetworkAttachmentDefinition/{wanted}", f"the agent's {CLUSTER_NETWORK} names it; there is none", mend
        )
    if on_node and full_name(on_node, release.namespace) != wanted:
        seen = f"its clusterNetwork is {on_node}, and the agent's {CLUSTER_NETWORK} is {told}"
        yield Finding("Multus on this node", seen, _renamed(release, on_node))


def _renamed(release: Release, on_node: str) -> Mend | None:
    """Return how the agent is told of Multus' network: the chart takes it to be in its own namespace."""
    namespace, _, name = full_name(on_node, release.namespace).partition("/")
    if namespace != release.namespace or not _NAME.fullmatch(name):
        return None
    return release.upgrade(f"multus.multusCNI.defaultCniCRName={name}")


def _find_detection(facts: FactReader) -> Iterator[Finding]:
    facts.value("cluster.spider_configs")
    on = [name for name in _DETECTIONS if settings(facts).get(name)]
    if on:
        release = spiderpool_release.helm(facts)
        mend = release.upgrade(*(f"ipam.{name}=false" for name in on), restart=AGENT)
        yield Finding("ConfigMap/spiderpool-conf", f"{' and '.join(on)} is true", mend)


def _find_gc(facts: FactReader) -> Iterator[Finding]:
    controller = spiderpool_release.component(facts.value("cluster.deployments"), CONTROLLER)
    if controller is None:
        return
    environment = _environment(controller, CONTROLLER)  # what is not in it has a default that is well
    enabled = environment.get(_GC_ENABLED, "true")
    if enabled is None:
        raise NotKnown(f"the controller's {_GC_ENABLED} comes from elsewhere, which is not read")
    release = spiderpool_release.release(controller)
    name = f"Deployment/{release.namespace}/{CONTROLLER}"
    if enabled == "false":
        yield Finding(name, "it collects no garbage: ipam.gc.enabled is false", release.upgrade("ipam.gc.enabled=true"))
        return
    if (seconds := _seconds(environment)) > _LONGEST_GC:
        mend = release.upgrade("ipam.gc.gcAll.intervalInSecond=600")
        yield Finding(name, f"it collects garbage every {seconds} s only", mend)
    for variable, key in _GC_OF_ZOMBIES.items():
        if environment.get(variable) == "false":
            seen = f"it keeps the addresses of pods that do not end: ipam.gc.statelessPod.{key} is false"
            yield Finding(name, seen, release.upgrade(f"ipam.gc.statelessPod.{key}=true"))


def seconds_between_rounds(facts: FactReader) -> int:
    """Return how often the controller collects what is not needed any more; its default where that is not known."""
    controller = spiderpool_release.component(facts.value_or("cluster.deployments", []), CONTROLLER)
    return _seconds(_environment(controller, CONTROLLER)) if controller else _DEFAULT_GC


def _seconds(environment: Mapping[str, str | None]) -> int:
    seconds = environment.get(_GC_SECONDS) or ""
    return int(seconds) if seconds.isdecimal() and len(seconds) < _DIGITS else _DEFAULT_GC


CHECKS = (
    Check(
        id="sp-multus-network",
        part="spiderpool",
        severity="failure",
        looks_at="MULTUS_CLUSTER_NETWORK in the environment of agents of release 1.1.0 or newer",
        why=(
            "Without it such an agent refuses eth0 of every pod: “cluster-network multus isn't set”. SpiderPool's chart"
            " leaves it out unless multus.multusCNI.defaultCniCRName is set, also where Multus is not installed."
        ),
        to_do=(
            "Set helm's multus.multusCNI.defaultCniCRName to the name of Calico's network. A pod may also name it in"
            " its annotation `v1.multus-cni.io/default-network`."
        ),
        needs=("cluster.daemon_sets",),
        find=_find_multus_network,
        before_install=True,
        waits=True,
    ),
    Check(
        id="sp-multus-changed",
        part="spiderpool",
        severity="warning",
        looks_at="whether Multus and spiderpool-agent mean the same network, and whether it is defined",
        why="SpiderPool chooses pools by the network that it takes for Multus' own, and Multus looks that network up.",
        to_do="Give both the same name, and define the network.",
        needs=("cluster.daemon_sets", "cluster.networks"),
        uses=("node.multus_network",),
        find=_find_multus_changed,
        waits=True,
    ),
    Check(
        id="sp-detection",
        part="spiderpool",
        severity="warning",
        looks_at="enableIPConflictDetection and enableGatewayDetection in spiderpool-conf",
        why=(
            "Calico asks for an address before the pod has an interface, so nothing can be probed. SpiderPool's own"
            " plugin then fails every ADD, with “Link not found”; ours gives the address without a probe."
        ),
        to_do="Turn both off.",
        needs=("cluster.spider_configs",),
        uses=("cluster.daemon_sets",),
        find=_find_detection,
        waits=True,
    ),
    Check(
        id="sp-gc",
        part="spiderpool",
        severity="warning",
        looks_at="whether the controller collects the addresses of pods that are gone, and how often",
        why="An address that was not given back when its pod ended stays taken until the controller collects it.",
        to_do="Set helm's ipam.gc.enabled to true, ipam.gc.gcAll.intervalInSecond to 600, and leave the others on.",
        needs=("cluster.deployments",),
        find=_find_gc,
        waits=True,
    ),
)
