"""SpiderPool's objects in the API, as far as doctor reads them: pkg/k8s/apis of spiderpool, v2beta1.

What is not named here is dropped while an answer is parsed, as in api_objects.py.
"""

from typing import Annotated, NotRequired

from pydantic import BeforeValidator, TypeAdapter
from typing_extensions import TypedDict

from cni.contracts.api_objects import Cidr, Labels, List, Metadata


class Requirement(TypedDict):
    """A rule of a selector."""

    key: str
    operator: str
    values: NotRequired[List[str]]


class LabelSelector(TypedDict, total=False):
    """Kubernetes' own selector of labels."""

    matchLabels: Labels
    matchExpressions: List[Requirement]


class SpiderIPPoolMetadata(Metadata):
    """Of a SpiderIPPool."""

    labels: NotRequired[Labels]


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
    multusName: NotRequired[List[str]]
    podAffinity: NotRequired[LabelSelector]
    nodeAffinity: NotRequired[LabelSelector]
    namespaceAffinity: NotRequired[LabelSelector]


class SpiderIPPoolStatus(TypedDict, total=False):
    """Of a SpiderIPPool. The allocated addresses are JSON in a string."""

    allocatedIPs: str
    totalIPCount: int
    allocatedIPCount: int


class SpiderIPPool(TypedDict):
    """A pool of SpiderPool's."""

    metadata: SpiderIPPoolMetadata
    spec: SpiderIPPoolSpec
    status: NotRequired[SpiderIPPoolStatus]


class PoolAllocation(TypedDict):
    """Who has an address. Up to SpiderPool 0.3 the namespace is beside the pod's name."""

    pod: str
    namespace: NotRequired[str]
    podUid: NotRequired[str]


POOL_ALLOCATIONS = TypeAdapter(dict[str, PoolAllocation])


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
    ownerControllerType: str


class SpiderEndpoint(TypedDict):
    """What SpiderPool has given to a pod of the same name."""

    metadata: Metadata
    status: NotRequired[SpiderEndpointStatus]


class SpiderReservedIPSpec(TypedDict, total=False):
    """Of a SpiderReservedIP."""

    ips: List[str]


class SpiderReservedIP(TypedDict):
    """Addresses that SpiderPool gives to nobody."""

    metadata: Metadata
    spec: NotRequired[SpiderReservedIPSpec]


class SpiderCoordinatorSpec(TypedDict, total=False):
    """Of a SpiderCoordinator."""

    podCIDRType: str
    hijackCIDR: List[str]


class SpiderCoordinatorStatus(TypedDict, total=False):
    """Of a SpiderCoordinator."""

    phase: str
    reason: str
    overlayPodCIDR: List[Cidr]
    serviceCIDR: List[Cidr]


class SpiderCoordinator(TypedDict):
    """What the plugin `coordinator` is told of the cluster."""

    metadata: Metadata
    spec: NotRequired[SpiderCoordinatorSpec]
    status: NotRequired[SpiderCoordinatorStatus]


class Settings(TypedDict, total=False):
    """Those of conf.yml that checks look at."""

    enableIPv4: bool
    enableIPv6: bool
    enableSpiderSubnet: bool
    enableAutoPoolForApplication: bool
    enableIPConflictDetection: bool
    enableGatewayDetection: bool
    ipamUnixSocketPath: str


_LONGEST = 1 << 16  # characters of conf.yml; SpiderPool's own has 2,000


def _from_yaml(value: object) -> object:
    if not isinstance(value, str):
        return value
    import yaml

    if len(value) > _LONGEST:  # anybody may make a ConfigMap of this name, and YAML takes its time
        raise ValueError("conf.yml is too long")
    try:
        return yaml.safe_load(value) or {}
    except Exception:  # of `!!bool x` it is a KeyError, of `!!timestamp x` an AttributeError
        raise ValueError("conf.yml is not YAML") from None


ConfigData = TypedDict("ConfigData", {"conf.yml": Annotated[Settings, BeforeValidator(_from_yaml)]}, total=False)


class SpiderConfig(TypedDict):
    """The ConfigMap of agent and controller."""

    metadata: Metadata
    data: NotRequired[ConfigData]
