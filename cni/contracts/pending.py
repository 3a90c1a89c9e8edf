"""The record of a release that the agent did not take: one JSON line of a file in /var/lib/spiderpool-ipam/pending."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

_STRICT = ConfigDict(strict=True)


@with_config(_STRICT)
class Release(TypedDict):
    """The body of the DELETE /ipam/ip that is still to be sent (an IpamDelArgs with its network)."""

    containerID: str
    ifName: str
    podNamespace: str
    podName: str
    podUID: str
    network: str


@with_config(_STRICT)
class PendingRelease(TypedDict):
    """One line of the file."""

    time: Annotated[int, Field(ge=0, le=2**40, description="Unix seconds at which it was written.")]
    socketPath: Annotated[str, Field(description="The socket of the agent that did not take it.")]
    release: Release


class AllocationsProbe(TypedDict):
    """The plugin recognises the embedded agent by an answer of this shape to GET /ipam/allocations."""

    allocations: list[Any]
