"""What `spiderpool-ipam detect` reads and prints: one JSON object on stdin, and one on stdout.

The plugin (cni/plugin/detection.py) writes the request and reads the answer.
"""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict


class ProbedAddress(TypedDict):
    """An address without its prefix length, and the probes that the agent asks for."""

    address: str
    gateway: Annotated[str, Field(description="Empty where the pool has none.")]
    detectConflict: bool
    detectGateway: bool


class DetectionRequest(TypedDict):
    """The addresses of one interface in a pod's network namespace."""

    netns: Annotated[str, Field(description="The path of the network namespace.")]
    ifname: str
    addresses: list[ProbedAddress]


class DetectionAnswer(TypedDict):
    """What the probes found: the fields of a CNI error; without an error, code 0 and one line about it in msg."""

    code: int
    msg: str
    details: str
