"""Calico's objects in the API, as far as doctor reads them: libcalico-go's v3 types, which both of its groups have.

What is not named here is dropped while an answer is parsed, as in api_objects.py.
"""

from typing import Annotated, NotRequired

from pydantic import BeforeValidator
from typing_extensions import TypedDict

from cni.contracts.api_objects import Cidr, List, Metadata

# Whether something is said, but not what: it does not match a pod's own route, whatever it is.
Said = Annotated[bool, BeforeValidator(bool)]


class IPPoolSpec(TypedDict):
    """Of an IPPool."""

    cidr: Cidr
    disabled: NotRequired[bool]
    disableBGPExport: NotRequired[bool]
    ipipMode: NotRequired[str]
    vxlanMode: NotRequired[str]
    natOutgoing: NotRequired[bool]
    blockSize: NotRequired[int]
    nodeSelector: NotRequired[str]
    allowedUses: NotRequired[List[str]]
    assignmentMode: NotRequired[str]


class IPPool(TypedDict):
    """A pool of Calico's: calico-ipam takes addresses out of it, and BIRD exports what is in it."""

    metadata: Metadata
    spec: IPPoolSpec


class ServiceCIDR(TypedDict):
    """A range of services' addresses."""

    cidr: Cidr


class PrefixAdvertisement(TypedDict, total=False):
    """A range whose routes get communities."""

    cidr: Cidr


class BGPConfigurationSpec(TypedDict, total=False):
    """Of a BGPConfiguration. Its password is not read."""

    asNumber: int | str
    nodeToNodeMeshEnabled: bool
    listenPort: int
    serviceClusterIPs: List[ServiceCIDR]
    serviceExternalIPs: List[ServiceCIDR]
    serviceLoadBalancerIPs: List[ServiceCIDR]
    prefixAdvertisements: List[PrefixAdvertisement]
    ipv4NormalRoutePriority: int
    ipv6NormalRoutePriority: int
    programClusterRoutes: str


class BGPConfiguration(TypedDict):
    """The BGP settings of all nodes (`default`) or of one (`node.NAME`)."""

    metadata: Metadata
    spec: NotRequired[BGPConfigurationSpec]


class BGPPeerSpec(TypedDict, total=False):
    """Of a BGPPeer. The reference to its password's Secret is not read."""

    node: str
    nodeSelector: str
    peerIP: str
    peerSelector: str
    localWorkloadSelector: str
    asNumber: int | str
    filters: List[str]
    numAllowedLocalASNumbers: int


class BGPPeer(TypedDict):
    """Whom nodes have a BGP session with."""

    metadata: Metadata
    spec: NotRequired[BGPPeerSpec]


class PrefixLength(TypedDict, total=False):
    """Which lengths a rule takes."""

    min: int
    max: int


class BGPFilterRule(TypedDict):
    """One rule: the first that matches decides."""

    action: str
    cidr: NotRequired[Cidr]
    matchOperator: NotRequired[str]
    prefixLength: NotRequired[PrefixLength]
    source: NotRequired[str]
    interface: NotRequired[str]
    peerType: NotRequired[str]
    communities: NotRequired[Said]
    asPathPrefix: NotRequired[Said]


class BGPFilterSpec(TypedDict, total=False):
    """Of a BGPFilter."""

    exportV4: List[BGPFilterRule]
    exportV6: List[BGPFilterRule]
    importV4: List[BGPFilterRule]
    importV6: List[BGPFilterRule]


class BGPFilter(TypedDict):
    """What a BGPPeer that names it may export, and what is taken from it."""

    metadata: Metadata
    spec: NotRequired[BGPFilterSpec]


class BlockAffinitySpec(TypedDict):
    """Of a BlockAffinity."""

    cidr: Cidr
    node: NotRequired[str]
    state: NotRequired[str]
    deleted: NotRequired[str | bool]
    type: NotRequired[str]


class BlockAffinity(TypedDict):
    """That a node has a block of calico-ipam's."""

    metadata: Metadata
    spec: BlockAffinitySpec


class BlockAttribute(TypedDict):
    """Who holds an address of a block."""

    handle_id: NotRequired[str | None]
    secondary: NotRequired[dict[str, str] | None]


class IPAMBlockSpec(TypedDict):
    """Of an IPAMBlock."""

    cidr: Cidr
    affinity: NotRequired[str | None]
    allocations: NotRequired[List[int | None]]
    attributes: NotRequired[List[BlockAttribute]]


class IPAMBlock(TypedDict):
    """Which addresses of a block are taken, and by whom."""

    metadata: Metadata
    spec: IPAMBlockSpec


class ClusterInformationSpec(TypedDict, total=False):
    """Of the ClusterInformation."""

    calicoVersion: str
    datastoreReady: bool


class ClusterInformation(TypedDict):
    """Which Calico this is."""

    metadata: Metadata
    spec: NotRequired[ClusterInformationSpec]
