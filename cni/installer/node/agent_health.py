"""Whether the spiderpool-agent answers. Side effect: GET /v1/ipam/healthy on its socket (spec/agent/openapi.yaml)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cni.deadline import Deadline
from cni.defaults import AGENT_SOCKET
from cni.installer.errors import InstallerError
from cni.installer.node.cutoff import Cutoff
from cni.installer.node.folders import Folders

NOT_ASKED = "not asked yet"  # what is wrong with it before anybody has asked
_HEALTHY = "http://agent/v1/ipam/healthy"
_TIMEOUT = 2  # seconds for one answer
_PAUSE = 0.5  # seconds between two questions


class AgentError(InstallerError):
    """The agent does not answer."""


def socket_path(folders: Folders, settings: dict[str, Any]) -> Path:
    """Return the path of the socket that our ipam object names."""
    name = settings.get("ipam_unix_socket_path")
    return folders.root.resolve(name if name and isinstance(name, str) else AGENT_SOCKET)


def fault(socket: Path) -> str:
    """Return what is wrong with the agent, or "" where it is healthy."""
    if not socket.is_socket():
        return "there is no such socket: is the agent's pod running on this node?"
    import httpx

    with Cutoff(_TIMEOUT) as cutoff:
        try:
            with (
                httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=_TIMEOUT) as client,
                client.stream("GET", _HEALTHY, extensions=cutoff.extensions) as response,  # its body may never end
            ):
                status = response.status_code
        except httpx.HTTPError as error:
            return "timed out" if cutoff.is_over else str(error) or type(error).__name__
    return "" if status == 200 else f"HTTP status {status}"


def wait(socket: Path, name: str, deadline: Deadline, log: Callable[[str], None]) -> None:
    """Wait until the agent is healthy. AgentError at the deadline. `name` is what the node calls the socket."""
    seconds = deadline.left()
    reported = False
    while found := fault(socket):
        if not deadline.left():
            raise AgentError(
                f"no healthy spiderpool-agent on {name} within {seconds:.0f} s ({found}): the conflist stays as it is;"
                " repair the agent and install again (--wait-agent 0 does not ask it)"
            )
        if not reported:
            log(f"waiting up to {seconds:.0f} s for the spiderpool-agent on {name}: {found}")
            reported = True
        deadline.sleep(_PAUSE)
