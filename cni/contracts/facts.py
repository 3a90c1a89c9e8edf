"""What doctor has read of a node and of a cluster: one JSON document. Checks see nothing else, and a bundle holds it.

Each fact is its value, or says why it is not known: {"unknown": "HTTP status 403: ..."}. Objects of the API have the
shape that the API gives them (api_objects.py and those beside it), without the fields that no check needs.
"""

from typing import Annotated, Literal, NotRequired, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from cni.contracts import api_objects as api
from cni.contracts import calico_objects as calico
from cni.contracts import calico_settings
from cni.contracts import spiderpool_objects as spiderpool
from cni.contracts import workload_objects as workload
from cni.contracts.log import LogLine
from cni.contracts.route_facts import Bird, KernelRoute, PodInterface, Router

T = TypeVar("T")
_YEAR_9999 = 253402300799
_Time: TypeAlias = Annotated[float, Field(ge=0, le=_YEAR_9999)]


class Unknown(TypedDict):
    """A fact that could not be had."""

    unknown: Annotated[str, Field(description="Why it is not known.")]


# From left to right: a value whose keys are all optional would take an Unknown as well.
Fact: TypeAlias = Annotated[Unknown | T, Field(union_mode="left_to_right")]


class Installation(TypedDict):
    """What the record of install says."""

    state: Literal["in force", "restored", "unfinished"]
    conflist: str
    plugin_type: str
    as_name: Annotated[str, Field(description="--as; empty where the conflist was swapped in place.")]
    swapped_at: Annotated[float, Field(description="Unix time of the first swap; 0: never.")]
    drift_count: Annotated[int, Field(description="How often others changed the conflist, and it was swapped again.")]
    drifts: Annotated[list[_Time], Field(description="Unix times of the last of these, at most four.")]
    left: Annotated[str, Field(description="What others had left of it the last time.")]


class Plugin(TypedDict):
    """The plugin as a runtime would find it, and the bundle that it is of."""

    path: str
    bundle: Annotated[str | None, Field(description="The bundle in force; null where the plugin is not ours.")]
    bundle_fault: Annotated[str, Field(description="In what the bundle differs from its SHA256SUMS.")]
    answer_fault: Annotated[str, Field(description="What is wrong with its answer to VERSION.")]
    drift: Annotated[
        Literal["overwritten", "removed", "replaced"] | None, Field(description="What others have done to it.")
    ]
    sha256: Annotated[str | None, Field(description="Of the file that the name leads to; null where there is none.")]
    watch_runs: Annotated[bool | None, Field(description="Whether watch runs, which repairs it.")]


class Start(TypedDict):
    """How the plugin starts."""

    path: str
    how: Annotated[str, Field(description="From its image, or why it does not, as its launcher or install says it.")]


class ConfFile(TypedDict):
    """A file that runtimes load."""

    name: str
    network: str
    plugin_types: list[str]
    ipam_types: Annotated[list[str], Field(description="Of all objects in it, Multus' delegates among them.")]
    fault: Annotated[str, Field(description="Why it cannot be loaded; empty where it can.")]


class Conflist(TypedDict):
    """The folder of network configurations, in the order in which runtimes load its files."""

    folder: str
    files: list[ConfFile]
    target: Annotated[str, Field(description="The file that is to name our plugin; empty where that is not clear.")]
    ipam_type: Annotated[str, Field(description="The IPAM type that it names.")]
    drift: Annotated[str, Field(description="Why it would be written; empty where it is as install left it.")]
    loaded_before: Annotated[str, Field(description="A file that runtimes load in its place; empty for none.")]
    fault: Annotated[str, Field(description="Why it is not clear which file is meant; empty where it is.")]
    nodename_is_optional: Annotated[bool, Field(description="Calico's plugin needs no file of the node's name.")]
    pools: Annotated[dict[str, list[str]], Field(description="The SpiderIPPools that it names, by the key that does.")]


class OwnSettings(TypedDict):
    """What a network configuration says to our plugin."""

    file: str
    main_plugin: Annotated[str, Field(description="The type of the plugin that calls ours.")]
    faults: Annotated[dict[str, str], Field(description="By key, what is wrong with its value.")]
    unknown: Annotated[list[str], Field(description="Keys that are none of ours.")]
    shape: Annotated[str, Field(description="result_shape; empty where it says nothing.")]
    socket: str
    timeout: Annotated[int, Field(description="Seconds.")]


class ChainPlugin(TypedDict):
    """A plugin that the runtime's file names."""

    type: str
    path: str
    state: Literal["executable", "not executable", "missing"]


class Agent(TypedDict):
    """The spiderpool-agent of the node."""

    socket: str
    fault: Annotated[str, Field(description="Empty where it is healthy.")]
    seconds: Annotated[float, Field(description="How long its answer took.")]


class AgentOperations(TypedDict):
    """The HTTP status of operations that not all releases of the agent have."""

    socket: str
    workload_endpoint: Annotated[int, Field(description="GET /v1/workloadendpoint, of a pod that there is not.")]
    coordinator_config: Annotated[int, Field(description="GET /v1/coordinator/config")]


class PendingReleases(TypedDict):
    """The releases that one agent has not taken yet."""

    socket: str
    agent: Literal["embedded", "real", "absent", "silent"]
    releases: int
    oldest: Annotated[float, Field(description="Unix time.")]


class Families(TypedDict):
    """Something that a node has, or has not, for each family."""

    ipv4: bool
    ipv6: bool


class LocalAddress(TypedDict):
    """An address that our plugin has given to a pod of this node, by libcni's cache."""

    address: api.Address
    pod: Annotated[str, Field(description="NAMESPACE/NAME")]
    interface: str
    network: NotRequired[Annotated[str, Field(description="The name of the network configuration.")]]


class CalicoToken(TypedDict):
    """The token of Calico's plugin: no more of it than when it ends."""

    path: str
    seconds_left: Annotated[float | None, Field(description="Until it ends, or null where it does not.")]


class NodeFacts(TypedDict, total=False):
    """What was read on the node that doctor runs on."""

    name: Fact[str]
    installation: Fact[Installation | None]
    record_fault: Fact[Annotated[str, Field(description="Why the record of install is of no use; empty where it is.")]]
    plugin: Fact[Plugin]
    start: Fact[Start]
    conflist: Fact[Conflist]
    netconf: Fact[list[OwnSettings]]
    chain: Fact[list[ChainPlugin]]
    agent: Fact[Agent]
    agent_operations: Fact[AgentOperations]
    pending: Fact[list[PendingReleases]]
    multus_network: Fact[Annotated[str, Field(description="clusterNetwork of Multus; empty where there is none.")]]
    calico_nodename: Fact[str | None]
    route_to_gateway: Fact[bool]
    forwarding: Fact[Families]
    local_addresses: Fact[list[LocalAddress]]
    bird: Fact[Bird]
    bird6: Fact[Bird]
    log: Fact[list[LogLine]]
    watch_log: Fact[Annotated[list[str], Field(description="The last lines of watch's log, in the journal.")]]
    routes: Fact[list[KernelRoute]]
    pod_interfaces: Fact[list[PodInterface]]
    calico_token: Fact[CalicoToken]


class Api(TypedDict):
    """What the API server serves."""

    groups: Annotated[list[str], Field(description="Groups with a version, as spiderpool.spidernet.io/v2beta1.")]
    calico: Annotated[str, Field(description="The group that Calico reads; empty where its datastore is etcd.")]


class ClusterFacts(TypedDict, total=False):
    """What was read of the API."""

    api: Fact[Api]
    nodes: Fact[list[api.Node]]
    namespaces: Fact[list[api.Namespace]]
    pods: Fact[list[api.Pod]]
    spider_ip_pools: Fact[list[spiderpool.SpiderIPPool]]
    spider_endpoints: Fact[list[spiderpool.SpiderEndpoint]]
    spider_reserved_ips: Fact[list[spiderpool.SpiderReservedIP]]
    spider_subnets: Fact[list[api.Named]]
    spider_coordinators: Fact[list[spiderpool.SpiderCoordinator]]
    spider_configs: Fact[list[spiderpool.SpiderConfig]]
    service_cidrs: Fact[list[api.ServiceCIDR]]
    networks: Fact[list[api.Named]]
    deployments: Fact[list[workload.Workload]]
    stateful_sets: Fact[list[workload.Workload]]
    daemon_sets: Fact[list[workload.Workload]]
    agent_pods: Fact[list[workload.NodePod]]
    own_pods: Fact[list[workload.NodePod]]
    controller_endpoints: Fact[list[workload.EndpointSlice]]
    ip_pools: Fact[list[calico.IPPool]]
    bgp_configurations: Fact[list[calico.BGPConfiguration]]
    bgp_peers: Fact[list[calico.BGPPeer]]
    bgp_filters: Fact[list[calico.BGPFilter]]
    block_affinities: Fact[list[calico.BlockAffinity]]
    ip_blocks: Fact[list[calico.IPAMBlock]]
    cluster_informations: Fact[list[calico.ClusterInformation]]
    router: Fact[Router]
    felix_configurations: Fact[list[calico_settings.FelixConfiguration]]
    calico_node_statuses: Fact[list[calico_settings.CalicoNodeStatus]]
    calico_pods: Fact[list[workload.NodePod]]
    calico_configs: Fact[list[calico_settings.CalicoConfig]]
    installations: Fact[list[calico_settings.Installation]]


class Facts(TypedDict):
    """All that doctor has read."""

    version: Annotated[str, Field(description="The version of the program that has read it.")]
    collected_at: Annotated[_Time, Field(description="Unix time.")]
    node: NodeFacts
    cluster: ClusterFacts


FACTS = TypeAdapter(Facts)
