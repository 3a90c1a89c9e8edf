"""What makes pods, and the pods of spiderpool-agent and of our own DaemonSet, as far as doctor reads them.

What is not named here is dropped while an answer is parsed, as in api_objects.py. Of the environment of a container,
only the variables in ENVIRONMENT are kept.
"""

from typing import Annotated, NotRequired

from pydantic import AfterValidator, BeforeValidator
from typing_extensions import TypedDict

from cni.contracts.api_objects import Condition, Labels, List, Metadata, PodAnnotations

ENVIRONMENT = (
    "MULTUS_CLUSTER_NETWORK",
    "CALICO_NETWORKING_BACKEND",
    "FELIX_BPFENABLED",
    "FELIX_IPV6SUPPORT",
    "FELIX_PROGRAMCLUSTERROUTES",
    "FELIX_ROUTESOURCE",
    "FELIX_WIREGUARDENABLED",
    "FELIX_WIREGUARDENABLEDV6",
    "IP",
    "IP6",
    "IP6_AUTODETECTION_METHOD",
    "IP_AUTODETECTION_METHOD",
    "SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION",
    "SPIDERPOOL_GC_IP_ENABLED",
    "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_NOT_READY_NODE_ENABLED",
    "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_READY_NODE_ENABLED",
)
_LONGEST = 300  # characters of what a container said when it ended


class Variable(TypedDict):
    """A variable of a container's environment; without a value where it comes from somewhere else."""

    name: str
    value: NotRequired[str]


def _without_others(value: object) -> object:
    if not isinstance(value, list):
        return []
    return [one for one in value if isinstance(one, dict) and one.get("name") in ENVIRONMENT]


Environment = Annotated[list[Variable], BeforeValidator(_without_others)]
Text = Annotated[str, AfterValidator(lambda text: " ".join(text.split())[:_LONGEST])]


class Container(TypedDict):
    """Of a template."""

    name: str
    image: NotRequired[str]
    env: NotRequired[Environment]


class TemplateMetadata(TypedDict, total=False):
    """Of a template."""

    labels: Labels
    annotations: PodAnnotations


class TemplateSpec(TypedDict, total=False):
    """Of a template."""

    hostNetwork: bool
    nodeSelector: Labels
    containers: List[Container]


class Template(TypedDict, total=False):
    """What a workload makes pods of."""

    metadata: TemplateMetadata
    spec: TemplateSpec


class WorkloadMetadata(Metadata):
    """Of a workload."""

    labels: NotRequired[Labels]


class WorkloadSpec(TypedDict, total=False):
    """Of a workload."""

    replicas: int
    template: Template


class WorkloadStatus(TypedDict, total=False):
    """Of a workload."""

    readyReplicas: int


class Workload(TypedDict):
    """A Deployment, StatefulSet or DaemonSet."""

    metadata: WorkloadMetadata
    spec: NotRequired[WorkloadSpec]
    status: NotRequired[WorkloadStatus]


class Waiting(TypedDict, total=False):
    """Why a container does not run."""

    reason: str


class Terminated(TypedDict, total=False):
    """How a container has ended. Its message is the end of its log, of the programs that are read here."""

    reason: str
    exitCode: int
    message: Text


class ContainerState(TypedDict, total=False):
    """What a container does."""

    waiting: Waiting
    terminated: Terminated


class ContainerStatus(TypedDict):
    """Of a container."""

    name: str
    ready: NotRequired[bool]
    restartCount: NotRequired[int]
    state: NotRequired[ContainerState]
    lastState: NotRequired[ContainerState]


class NodePodSpec(TypedDict, total=False):
    """Of a pod of a DaemonSet."""

    nodeName: str


class NodePodStatus(TypedDict, total=False):
    """Of a pod of a DaemonSet."""

    phase: str
    reason: str
    conditions: List[Condition]
    containerStatuses: List[ContainerStatus]
    initContainerStatuses: List[ContainerStatus]


class NodePod(TypedDict):
    """A pod of spiderpool-agent, of calico-node, or of our own DaemonSet."""

    metadata: Metadata
    spec: NotRequired[NodePodSpec]
    status: NotRequired[NodePodStatus]


class Port(TypedDict):
    """Of a container."""

    containerPort: int
    name: NotRequired[str]


class ReportingContainer(TypedDict, total=False):
    """Of our own DaemonSet."""

    args: List[str]
    ports: List[Port]


class ReportingSpec(TypedDict, total=False):
    """Of a pod of our own DaemonSet."""

    nodeName: str
    containers: List[ReportingContainer]


class ReportingPod(TypedDict):
    """A pod of our own DaemonSet, as far as it is known by that where its watch serves reports."""

    metadata: Metadata
    spec: ReportingSpec


class EndpointConditions(TypedDict, total=False):
    """Of an endpoint. Go writes null for what is not known, which means ready."""

    ready: bool | None


class Endpoint(TypedDict, total=False):
    """A pod behind a Service."""

    conditions: EndpointConditions


class EndpointSlice(TypedDict):
    """The pods behind a Service."""

    metadata: Metadata
    endpoints: NotRequired[List[Endpoint]]
