"""Checks of the spiderpool-agent of this node. Pure."""

from collections.abc import Iterator

from cni.contracts.facts import Agent
from cni.doctor.check import Check, Finding, command
from cni.doctor.facts import FactReader

_SLOW = 1.0  # seconds; a healthy agent answers within some milliseconds


def _find_agent(facts: FactReader) -> Iterator[Finding]:
    agent: Agent = facts.value("node.agent")
    name = facts.value_or("node.name", "NODE")
    if agent["fault"]:
        shown = f"kubectl get pods -A -o wide -l app.kubernetes.io/component=spiderpool-agent | grep {name}"
        yield Finding(agent["socket"], agent["fault"], command(shown))
    elif agent["seconds"] > _SLOW:
        yield Finding(agent["socket"], f"it has answered after {agent['seconds']:.1f} s", severity="warning")


CHECKS = (
    Check(
        id="node-agent",
        part="node",
        severity="failure",
        looks_at="the agent's socket, and whether the agent says that it is healthy",
        why="Without the agent, no pod of this node gets an address, and none is given back.",
        to_do="See why the agent's pod on this node does not run: its last state, its log, its node's taints.",
        needs=("node.agent",),
        uses=("node.name",),
        find=_find_agent,
        before_install=True,
        waits=True,
    ),
)
