"""Checks of what goes on a node while it runs: the agent's release, what is pending, who fights watch. Pure."""

import time
from collections.abc import Iterator

from cni.contracts.facts import Agent, AgentOperations, Installation, PendingReleases
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.checks.node_install import copy_before
from cni.doctor.checks.node_netconf import resolved
from cni.doctor.facts import FactReader, NotKnown

_NOT_IMPLEMENTED, _NOT_FOUND = 501, 404
_LONG_PENDING = 600.0  # seconds
_OFTEN = 3  # drifts in an hour
_HOUR, _DAY = 3600.0, 86400.0
_WATCH = "keep `spiderpool-ipam watch` running"
# What holds a release, by what is behind the socket that it is for.
_HOLDS = {
    "embedded": f"the agent answers, and is not sent them: {_WATCH}",
    "real": f"the agent answers; spiderpool-controller has freed what they are about, and watch drops them: {_WATCH}",
    "absent": "nobody listens there",
    "silent": "the agent there does not answer",
}


def _find_generation(facts: FactReader) -> Iterator[Finding]:
    operations: AgentOperations = facts.value("node.agent_operations")
    if operations["workload_endpoint"] == _NOT_IMPLEMENTED:
        old = " It is of 0.5.1 or before." if operations["coordinator_config"] == _NOT_FOUND else ""
        seen = f"it does not implement GET /v1/workloadendpoint, which 1.2.0 and newer do.{old}"
        yield Finding(operations["socket"], seen.removesuffix("."))


def _find_pending(facts: FactReader) -> Iterator[Finding]:
    pending: list[PendingReleases] = facts.value("node.pending")
    agent: Agent | None = facts.value_or("node.agent", None)
    for one in pending:
        age = facts.collected_at - one["oldest"]
        if age > _LONG_PENDING:
            number = "1 release waits" if one["releases"] == 1 else f"{one['releases']} releases wait"
            seen = f"{number}, the oldest for {age / 60:.0f} minutes: {_HOLDS[one['agent']]}"
            is_own = agent is not None and resolved(agent["socket"]) == resolved(one["socket"])
            is_dead = one["agent"] == "silent" or (one["agent"] == "absent" and is_own)
            yield Finding(one["socket"], seen, _drop(one, agent), cause="node-agent" if is_dead else "")


def _drop(one: PendingReleases, agent: Agent | None) -> Mend | None:
    """Return the command that drops releases for nobody. This node's agent takes them when it is back."""
    if one["agent"] != "absent" or agent is None or resolved(agent["socket"]) == resolved(one["socket"]):
        return None
    return command("spiderpool-ipam pending --drop {}", one["socket"])


def _find_fighting(facts: FactReader) -> Iterator[Finding]:
    installation: Installation | None = facts.value("node.installation")
    if installation is None:
        raise NotKnown("nothing is installed here")
    if installation["state"] != "in force":
        return
    drifts = installation["drifts"]
    if len(drifts) <= _OFTEN or drifts[-1] - drifts[-1 - _OFTEN] > _HOUR or facts.collected_at - drifts[-1] > _DAY:
        return
    minutes = (drifts[-1] - drifts[-1 - _OFTEN]) / 60
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(drifts[-1]))
    seen = (
        f"others have changed it {_OFTEN + 1} times within {max(minutes, 1):.0f} min, the last time at"
        f" {when}, when {installation['left']}; each time it was swapped again"
    )
    # A copy is the mend. Who writes to the copy itself has to be found by people.
    mend = None if installation["as_name"] else copy_before(installation["conflist"])
    yield Finding(installation["conflist"], seen, mend)


CHECKS = (
    Check(
        id="node-agent-generation",
        part="node",
        severity="information",
        looks_at="which operations the agent has, that came with its releases",
        why=(
            "An agent before 1.2.0 does not tell what a pod holds, so CHECK of this node's pods has nothing to compare."
        ),
        to_do="Nothing, if CHECK is not used. Otherwise take SpiderPool 1.2.0 or newer.",
        needs=("node.agent_operations",),
        find=_find_generation,
    ),
    Check(
        id="node-pending",
        part="node",
        severity="warning",
        looks_at="releases of addresses that no agent has taken for ten minutes",
        why="The addresses of pods that have ended stay taken until their release arrives.",
        to_do=(
            "Have the agent run again, and keep `spiderpool-ipam watch` running, which sends them. For an agent that"
            " will never come back, drop them with `spiderpool-ipam pending --drop`."
        ),
        needs=("node.pending",),
        uses=("node.agent",),
        find=_find_pending,
        waits=True,
    ),
    Check(
        id="node-conflist-fighting",
        part="node",
        severity="warning",
        looks_at="how often others have changed the conflist within an hour of the last day, and what they left of it",
        why=(
            "While the conflist is not ours, pods get their addresses from another IPAM. More than three times an hour"
            " is no upgrade: Calico's installer, a node agent or a deployment tool writes it again and again."
        ),
        to_do=(
            "Change Calico's own template, the ConfigMap's cni_network_config, to `spiderpool`, or install with `--as`"
            " a copy that sorts first: then the file is Calico's to write."
        ),
        needs=("node.installation",),
        find=_find_fighting,
    ),
)
