"""The check of what SpiderPool's plugin `coordinator` is told. Pure."""

import json
from collections.abc import Iterator, Sequence

from cni.contracts.calico_objects import IPPool
from cni.contracts.facts import ChainPlugin
from cni.contracts.spiderpool_objects import SpiderCoordinator, SpiderIPPool
from cni.doctor import spiderpool_release
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network, pool_ranges

_SYNCED = "Synced"
_LEAVES_OUT = (1, 2, 2)  # the last release that leaves disabled IPPools out of overlayPodCIDR
_FROM_CALICO = ("auto", "calico")


def _find_coordinator(facts: FactReader) -> Iterator[Finding]:
    chain: list[ChainPlugin] = facts.value("node.chain")
    if not any(plugin["type"] == "coordinator" for plugin in chain):
        return
    coordinators: list[SpiderCoordinator] = facts.value("cluster.spider_coordinators")
    for coordinator in coordinators:
        status = coordinator.get("status", {})
        name = f"SpiderCoordinator/{coordinator['metadata']['name']}"
        if status.get("phase") != _SYNCED:
            reason = f": {status['reason']}" if status.get("reason") else ""
            yield Finding(name, f"its phase is {status.get('phase') or 'not set'}{reason}")
        else:
            yield from _left_out(name, coordinator, facts)


def _left_out(name: str, coordinator: SpiderCoordinator, facts: FactReader) -> Iterator[Finding]:
    """Find IPPools that SpiderPool takes for none of Calico's, because they are disabled."""
    agent = spiderpool_release.component(facts.value_or("cluster.daemon_sets", []), spiderpool_release.AGENT)
    version = spiderpool_release.version(agent, spiderpool_release.AGENT) if agent else None
    spec = coordinator.get("spec", {})
    if spec.get("podCIDRType", "auto") not in _FROM_CALICO or (version and version > _LEAVES_OUT):
        return
    pools: list[IPPool] = facts.value_or("cluster.ip_pools", [])
    spider_pools: list[SpiderIPPool] = facts.value_or("cluster.spider_ip_pools", [])
    told = coordinator.get("status", {}).get("overlayPodCIDR", [])
    for pool in pools:
        cidr = pool["spec"]["cidr"]
        overlaps = any(wanted.overlaps(network(cidr)) for one in spider_pools for wanted in pool_ranges(one))
        if pool["spec"].get("disabled") and overlaps and cidr not in told:
            seen = f"its overlayPodCIDR is without {cidr} of IPPool/{pool['metadata']['name']}, which is disabled"
            hijacked = [*spec.get("hijackCIDR", []), *(one["spec"]["cidr"] for one in pools)]
            yield Finding(name, seen, _hijack(coordinator, hijacked))


def _hijack(coordinator: SpiderCoordinator, cidrs: Sequence[str]) -> Mend:
    patch = {"spec": {"podCIDRType": "none", "hijackCIDR": list(dict.fromkeys(cidrs))}}
    name = coordinator["metadata"]["name"]
    kind = "spidercoordinators.spiderpool.spidernet.io"
    return command("kubectl patch {} {} --type=merge -p {}", kind, name, json.dumps(patch))


CHECKS = (
    Check(
        id="sp-coordinator",
        part="spiderpool",
        severity="warning",
        looks_at="the SpiderCoordinators, if the chain has the plugin `coordinator`",
        why=(
            "The plugin sends what is for Calico's pods by way of the node. It fails where its SpiderCoordinator is"
            " not Synced, and up to SpiderPool 1.2.2 it does not know of IPPools that are disabled."
        ),
        to_do=(
            "Set podCIDRType to none and name the ranges in hijackCIDR, or take a newer SpiderPool. Where the phase is"
            " NotReady, its reason says what the controller could not read."
        ),
        needs=("node.chain", "cluster.spider_coordinators"),
        uses=("cluster.daemon_sets", "cluster.ip_pools", "cluster.spider_ip_pools"),
        find=_find_coordinator,
        waits=True,
    ),
)
