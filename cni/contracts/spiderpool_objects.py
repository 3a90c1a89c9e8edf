"""SpiderPool's objects in the API, as far as doctor reads them: pkg/k8s/apis of spiderpool, v2beta1.

What is not named here is dropped while an answer is parsed, as in api_objects.py.
"""

from typing import NotRequired

from typing_extensions import TypedDict

from cni.contracts.api_objects import Cidr, List, Metadata


class SpiderIPPoolSpec(TypedDict):
    """Of a SpiderIPPool."""

    subnet: Cidr
    ipVersion: NotRequired[int]
    ips: NotRequired[List[str]]
    excludeIPs: NotRequired[List[str]]
    gateway: NotRequired[str]
    disable: NotRequired[bool]
    default: NotRequired[bool]
    nodeName: NotRequired[List[str]]
    namespaceName: NotRequired[List[str]]


class SpiderIPPoolStatus(TypedDict, total=False):
    """Of a SpiderIPPool."""

    totalIPCount: int
    allocatedIPCount: int


class SpiderIPPool(TypedDict):
    """A pool of SpiderPool's."""

    metadata: Metadata
    spec: SpiderIPPoolSpec
    status: NotRequired[SpiderIPPoolStatus]


class SpiderAllocation(TypedDict, total=False):
    """What an interface of a pod has."""

    interface: str
    ipv4: str
    ipv6: str
    ipv4Pool: str
    ipv6Pool: str


class SpiderCurrent(TypedDict, total=False):
    """What a pod has at present."""

    uid: str
    node: str
    ips: List[SpiderAllocation]


class SpiderEndpointStatus(TypedDict, total=False):
    """Of a SpiderEndpoint."""

    current: SpiderCurrent


class SpiderEndpoint(TypedDict):
    """What SpiderPool has given to a pod of the same name."""

    metadata: Metadata
    status: NotRequired[SpiderEndpointStatus]
