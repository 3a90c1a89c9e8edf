"""Checks of how Calico was set up: its version, its backend, and what it writes into conflists. Pure."""

import json
import re
from collections.abc import Iterator

from cni.contracts import facts as facts_contract
from cni.contracts.calico_objects import ClusterInformation
from cni.contracts.calico_settings import CalicoConfig
from cni.contracts.doctor import Severity
from cni.defaults import IPAM_TYPE
from cni.doctor import calico_node, suggest
from cni.doctor.check import Check, Finding, Mend, command, in_turn
from cni.doctor.checks.node_install import copy_before
from cni.doctor.facts import FactReader, NotKnown

_BIRD = "bird"
_CONFIG = "ConfigMap/calico-config"
_CONFLIST = "10-calico.conflist"  # the operator's name for it
# The quotes have backslashes before them where kubectl prints the conflist as one line.
_REPLACE = r's/(\\?"type\\?": *\\?"){ipam}\b/\1{ours}/'
_PLUGIN = re.compile(r"[a-zA-Z0-9._-]+")  # sed would obey a slash, and more


def _find_version(facts: FactReader) -> Iterator[Finding]:
    found: list[ClusterInformation] = facts.value("cluster.cluster_informations")
    for one in found:
        name, spec = f"ClusterInformation/{one['metadata']['name']}", one.get("spec", {})
        yield Finding(name, f"this is Calico {spec.get('calicoVersion') or 'of an unknown version'}")
        if spec.get("datastoreReady") is False:
            why = "Calico's plugin then refuses every ADD: “Calico is currently not ready to process requests”."
            mend = command("calicoctl datastore migrate unlock")
            yield Finding(name, "its datastoreReady is false", mend, why=why, severity="failure")


def find_backend(facts: FactReader) -> Iterator[Finding]:
    """Find what has calico-node run no BIRD. NotKnown."""
    if calico_node.daemon_set(facts) is None:
        raise NotKnown(f"there is no DaemonSet {calico_node.NAME}")
    installation = calico_node.installation(facts)
    network = (installation.get("spec", {}).get("calicoNetwork") or {}) if installation else {}
    name = "CALICO_NETWORKING_BACKEND"
    backend = calico_node.variable(facts, name)
    if installation and (network.get("bgp") or "Enabled") != "Enabled":
        mend = suggest.operators_patch(installation["metadata"]["name"], {"calicoNetwork": {"bgp": "Enabled"}})
        yield Finding(f"Installation/{installation['metadata']['name']}", f"its bgp is {network.get('bgp')}", mend)
    elif backend == "":
        yield from _by_config(facts)
    elif backend not in (None, _BIRD):
        bird = calico_node.set_variable(facts, f"{name}={_BIRD}")
        yield Finding(f"DaemonSet/{calico_node.NAME}", f"its {name} is {backend}", bird)


def _by_config(facts: FactReader) -> Iterator[Finding]:
    for config in _configs(facts):
        backend = config.get("data", {}).get("calico_backend", _BIRD)
        if backend != _BIRD:
            patch = json.dumps({"data": {"calico_backend": _BIRD}})
            change = command("kubectl -n kube-system patch configmap calico-config --type=merge -p {}", patch)
            restart = command("kubectl -n kube-system rollout restart daemonset/{}", calico_node.NAME)
            mend = in_turn([change, restart])
            yield Finding(_CONFIG, f"its calico_backend is {backend}", mend)


def _find_reverts(facts: FactReader) -> Iterator[Finding]:
    kept = _kept(facts)
    severity: Severity | None = "information" if kept is None else None
    if kept:
        return
    installation = calico_node.installation(facts)
    if installation:
        ipam = ((installation.get("spec", {}).get("cni") or {}).get("ipam") or {}).get("type") or "Calico"
        seen = f"the operator writes the IPAM {ipam} into each conflist, and can be told no other than its own"
        mend = copy_before(_CONFLIST)
        yield Finding(f"Installation/{installation['metadata']['name']}", seen, mend, severity=severity)
        return
    for config in _configs(facts):
        ipam = config.get("data", {}).get("cni_network_config", "")
        if ipam and ipam != IPAM_TYPE:
            seen = f"each start of calico-node writes the IPAM {ipam} into the conflist"
            yield Finding(_CONFIG, seen, _to_ours(ipam), severity=severity)


def _kept(facts: FactReader) -> bool | None:
    """Tell whether this node keeps its conflist, whatever Calico writes; None where the node was not looked at."""
    installation: facts_contract.Installation | None = facts.value_or("node.installation", None)
    plugin: facts_contract.Plugin | None = facts.value_or("node.plugin", None)
    if not installation or not plugin:
        return None
    return bool(installation["as_name"] or plugin["watch_runs"])


def _to_ours(ipam: str) -> Mend | None:
    """Return the command that puts our IPAM in the place of another one; None where that has no plugin's name."""
    if not _PLUGIN.fullmatch(ipam):
        return None
    change = command("sed -E {}", _REPLACE.format(ipam=ipam, ours=IPAM_TYPE))
    return command("kubectl -n kube-system get configmap calico-config -o yaml | {} | kubectl replace -f -", change)


def _configs(facts: FactReader) -> list[CalicoConfig]:
    found: list[CalicoConfig] = facts.value("cluster.calico_configs")
    return [one for one in found if one["metadata"].get("namespace", "kube-system") == "kube-system"]


CHECKS = (
    Check(
        id="calico-version",
        part="calico",
        severity="information",
        looks_at="Calico's version, and whether its datastore is ready",
        why="What BIRD exports, and what Felix does, depends on the version in some places.",
        to_do=(
            "Nothing is wrong with a version. A datastore that is not ready was locked for a migration: end it, or"
            " unlock it with `calicoctl datastore migrate unlock`."
        ),
        needs=("cluster.cluster_informations",),
        find=_find_version,
        before_install=True,
        waits=True,
    ),
    Check(
        id="calico-backend",
        part="calico",
        severity="failure",
        looks_at="whether calico-node runs BIRD: calico_backend, the operator's `bgp`, CALICO_NETWORKING_BACKEND",
        why="Without BIRD there is no BGP, so that nobody outside a node hears of its pods.",
        to_do="Set the backend to bird, or `bgp` of the Installation to Enabled, and have calico-node start anew.",
        needs=("cluster.daemon_sets",),
        uses=("cluster.calico_configs", "cluster.installations"),
        find=find_backend,
        before_install=True,
        waits=True,
    ),
    Check(
        id="calico-reverts",
        part="calico",
        severity="warning",
        looks_at="which IPAM Calico writes into the conflist, and whether this node keeps ours",
        why=(
            "Each start of calico-node writes the conflist anew. Pods that start before it is swapped again get"
            " addresses of Calico's own IPAM, which the router does not have one by one."
        ),
        to_do=(
            "Keep `spiderpool-ipam watch` running, or install with `--as` a name that sorts before Calico's. Without"
            " the operator, change ipam.type in the ConfigMap calico-config, too; the operator has no setting for it."
        ),
        needs=("cluster.calico_configs",),
        uses=("cluster.installations", "node.installation", "node.plugin"),
        find=_find_reverts,
    ),
)
