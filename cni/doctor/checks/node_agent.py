"""Checks of the spiderpool-agent of this node. Pure."""

from collections.abc import Iterator

from cni.contracts.facts import Agent
from cni.contracts.workload_objects import NodePod
from cni.doctor import node_pods
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader

_SLOW = 1.0  # seconds; a healthy agent answers within some milliseconds


def _find_agent(facts: FactReader) -> Iterator[Finding]:
    agent: Agent = facts.value("node.agent")
    if agent["fault"]:
        yield Finding(agent["socket"], agent["fault"], _start_again(facts))
    elif agent["seconds"] > _SLOW:
        yield Finding(agent["socket"], f"it has answered after {agent['seconds']:.1f} s", severity="warning")


def _start_again(facts: FactReader) -> Mend:
    """Return the command that has the agent start anew on this node, or else shows what there is of it."""
    name = facts.value_or("node.name", "NODE")
    pods: list[NodePod] = facts.value_or("cluster.agent_pods", [])
    if pod := node_pods.by_node(pods).get(name):
        return command("kubectl -n {} delete pod {}", pod["metadata"].get("namespace", ""), pod["metadata"]["name"])
    return command("kubectl get pods -A -o wide -l app.kubernetes.io/component=spiderpool-agent | grep {}", name)


CHECKS = (
    Check(
        id="node-agent",
        part="node",
        severity="failure",
        looks_at="the agent's socket, and whether the agent says that it is healthy",
        why="Without the agent, no pod of this node gets an address, and none is given back.",
        to_do=(
            "Delete the agent's pod on this node, so that it starts anew. If that does not help, see why it does not"
            " run: its last state, its log, its node's taints."
        ),
        needs=("node.agent",),
        uses=("node.name", "cluster.agent_pods"),
        find=_find_agent,
        before_install=True,
        waits=True,
    ),
)
