"""Whether the spiderpool-agent answers. Side effect: GET /v1/ipam/healthy on its socket (spec/agent/openapi.yaml)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cni.installer.node.host_root import below

SOCKET = "/var/run/spidernet/spiderpool.sock"
_TIMEOUT = 2  # seconds for one answer
_PAUSE = 0.5  # seconds between two questions


class AgentError(Exception):
    """The agent does not answer; one line that says what to do."""


def socket_of(root: Path, settings: dict[str, Any]) -> Path:
    """Return the socket that our ipam object names, as this process reaches it."""
    path = settings.get("ipam_unix_socket_path")
    return below(root, path if path and isinstance(path, str) else SOCKET)


def fault(socket: Path) -> str:
    """Return what is wrong with the agent, or "" where it is healthy."""
    import httpx

    if not socket.is_socket():
        return "there is no such socket: is the agent's pod running on this node?"
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=_TIMEOUT) as client:
            status = client.get("http://agent/v1/ipam/healthy").status_code
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return "" if status == 200 else f"HTTP status {status}"


def wait(socket: Path, name: str, seconds: float, say: Callable[[str], None]) -> None:
    """Wait until the agent is healthy; AgentError after `seconds`. `name` is what the node calls the socket."""
    deadline = time.monotonic() + seconds
    said = False
    while found := fault(socket):
        if time.monotonic() > deadline:
            raise AgentError(
                f"no healthy spiderpool-agent on {name} within {seconds:.0f} s ({found}): the conflist stays as it is;"
                " mend the agent and install again (--wait-agent 0 does not ask)"
            )
        if not said:
            say(f"waiting up to {seconds:.0f} s for the spiderpool-agent on {name}: {found}")
            said = True
        time.sleep(_PAUSE)
