"""Objects of the Kubernetes API, as far as doctor reads them. Those of SpiderPool and Calico have
their own modules.

These three modules are the only list of what gets into a bundle: what is not named here is dropped while an answer is
parsed. So Secrets are not read, nor values of environment variables, nor annotations that are not listed. Whoever
adds a field has to know that no secret can be in it.
"""

import ipaddress
from typing import Annotated, Generic, NotRequired, TypeVar

from pydantic import AfterValidator, BeforeValidator, TypeAdapter
from typing_extensions import TypedDict

T = TypeVar("T")

Labels = dict[str, str]


def _list_or_null(value: object) -> object:
    return [] if value is None else value


def _cidr(text: str) -> str:
    ipaddress.ip_network(text, strict=False)
    return text


def _address(text: str) -> str:
    ipaddress.ip_address(text)
    return text


Cidr = Annotated[str, AfterValidator(_cidr)]
Address = Annotated[str, AfterValidator(_address)]
# Go writes null for a list that was never made.
List = Annotated[list[T], BeforeValidator(_list_or_null)]


# `continue` is a word of Python's.
PageMetadata = TypedDict("PageMetadata", {"continue": NotRequired[str]})


class Page(TypedDict, Generic[T]):
    """One page of a list."""

    metadata: NotRequired[PageMetadata]
    items: List[T]


class Metadata(TypedDict):
    """Of any object."""

    name: str
    namespace: NotRequired[str]
    uid: NotRequired[str]
    creationTimestamp: NotRequired[str]
    deletionTimestamp: NotRequired[str]


class Named(TypedDict):
    """An object of which no more than the metadata is read."""

    metadata: Metadata


NodeAnnotations = TypedDict(
    "NodeAnnotations",
    {
        "projectcalico.org/IPv4Address": str,
        "projectcalico.org/IPv6Address": str,
        "projectcalico.org/ASNumber": str,
        "projectcalico.org/RouteReflectorClusterID": str,
    },
    total=False,
)


class NodeMetadata(Metadata):
    """Of a Node; selectors of Calico's look at its labels."""

    labels: NotRequired[Labels]
    annotations: NotRequired[NodeAnnotations]


class Condition(TypedDict):
    """Of a Node or a Pod."""

    type: str
    status: str
    lastTransitionTime: NotRequired[str | None]


class NodeAddress(TypedDict):
    """An address of a Node."""

    type: str
    address: str


class NodeStatus(TypedDict, total=False):
    """Of a Node."""

    conditions: List[Condition]
    addresses: List[NodeAddress]


class Node(TypedDict):
    """A node."""

    metadata: NodeMetadata
    status: NotRequired[NodeStatus]


NamespaceAnnotations = TypedDict(
    "NamespaceAnnotations",
    {"ipam.spidernet.io/default-ipv4-ippool": str, "ipam.spidernet.io/default-ipv6-ippool": str},
    total=False,
)


class NamespaceMetadata(Metadata):
    """Of a Namespace."""

    labels: NotRequired[Labels]
    annotations: NotRequired[NamespaceAnnotations]


class Namespace(TypedDict):
    """A namespace."""

    metadata: NamespaceMetadata


PodAnnotations = TypedDict(
    "PodAnnotations",
    {
        "ipam.spidernet.io/ippool": str,
        "ipam.spidernet.io/ippools": str,
        "ipam.spidernet.io/subnet": str,
        "ipam.spidernet.io/subnets": str,
        "cni.projectcalico.org/podIPs": str,
        "cni.projectcalico.org/ipAddrs": str,
        "cni.projectcalico.org/ipAddrsNoIpam": str,
        "cni.projectcalico.org/ipv4pools": str,
        "cni.projectcalico.org/ipv6pools": str,
        "v1.multus-cni.io/default-network": str,
    },
    total=False,
)


class Owner(TypedDict):
    """What has made an object."""

    kind: str
    name: str


class PodMetadata(Metadata):
    """Of a Pod."""

    labels: NotRequired[Labels]
    ownerReferences: NotRequired[List[Owner]]
    annotations: NotRequired[PodAnnotations]


class PodSpec(TypedDict, total=False):
    """Of a Pod."""

    nodeName: str
    hostNetwork: bool


class PodIP(TypedDict):
    """An address of a Pod."""

    ip: Address


class PodStatus(TypedDict, total=False):
    """Of a Pod."""

    phase: str
    podIPs: List[PodIP]


class Pod(TypedDict):
    """A pod."""

    metadata: PodMetadata
    spec: NotRequired[PodSpec]
    status: NotRequired[PodStatus]


class ServiceCIDRSpec(TypedDict, total=False):
    """Of a ServiceCIDR."""

    cidrs: List[Cidr]


class ServiceCIDR(TypedDict):
    """Where the addresses of services come from."""

    metadata: Metadata
    spec: NotRequired[ServiceCIDRSpec]


class GroupVersion(TypedDict):
    """A version of a group that the API serves."""

    groupVersion: str


class Group(TypedDict):
    """A group that the API serves."""

    versions: List[GroupVersion]


class Groups(TypedDict):
    """What /apis says."""

    groups: List[Group]


class Failure(TypedDict, total=False):
    """What the API says in the place of an answer: a Status."""

    message: str


GROUPS = TypeAdapter(Groups)
FAILURE = TypeAdapter(Failure)
