"""Reads which operations the agent has, and what is pending for agents. Side effects: GET on their sockets."""

from pathlib import Path
from typing import TYPE_CHECKING

from cni.contracts.facts import AgentOperations, PendingReleases
from cni.installer.node import pending
from cni.installer.node.agent_health import AgentError
from cni.installer.node.cutoff import Cutoff
from cni.installer.node.folders import Folders

if TYPE_CHECKING:
    import httpx

_TIMEOUT = 2.0  # seconds for one answer
# A pod that no cluster has: the answer is 404 where the operation is implemented, and 501 where it is not.
_NOBODY = {"podNamespace": "spiderpool-ipam-doctor", "podName": "nobody"}


def operations(folders: Folders, socket: Path) -> AgentOperations:
    """Ask the agent for what not all its releases have. AgentError."""
    import httpx

    if not socket.is_socket():
        raise AgentError(f"{folders.name_of(socket)}: there is no such socket")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=_TIMEOUT) as client:
        return {
            "socket": folders.name_of(socket),
            "workload_endpoint": _status(client, "workloadendpoint", _NOBODY),
            "coordinator_config": _status(client, "coordinator/config", _NOBODY),
        }


def _status(client: "httpx.Client", operation: str, parameters: dict[str, str]) -> int:
    import httpx

    url = f"http://agent/v1/{operation}"
    with Cutoff(_TIMEOUT) as cutoff:
        try:
            with client.stream("GET", url, params=parameters, extensions=cutoff.extensions) as response:
                return response.status_code
        except httpx.HTTPError as error:
            text = "timed out" if cutoff.is_over else str(error) or type(error).__name__
            raise AgentError(f"GET {operation}: {text}") from None


def pending_releases(folders: Folders) -> list[PendingReleases]:
    """Return what is pending, by the agents that it is for."""
    return [
        {"socket": one.agent_socket, "agent": one.agent, "releases": one.releases, "oldest": one.oldest}
        for one in pending.by_agent(folders)
    ]
