"""What `spiderpool-ipam detect` reads and prints: one JSON object on stdin, and one on stdout.

The plugin (cni/plugin/detection.py) writes the request and reads the answer.
"""

from typing_extensions import TypedDict


class ProbedAddress(TypedDict):
    """An address without its prefix length, its gateway ("" if it has none), and the probes that the agent asks for."""

    address: str
    gateway: str
    detectConflict: bool
    detectGateway: bool


class DetectionRequest(TypedDict):
    """The addresses of one interface in the network namespace at the path `netns`."""

    netns: str
    ifname: str
    addresses: list[ProbedAddress]


class DetectionAnswer(TypedDict):
    """What the probes found: the fields of a CNI error; without an error, code 0 and one line about it in msg."""

    code: int
    msg: str
    details: str
