"""How Calico was set up and what it tells of itself, as far as doctor reads it; its other objects: calico_objects.py.

What is not named here is dropped while an answer is parsed, as in api_objects.py.
"""

import re
from typing import Annotated, NotRequired

from pydantic import BeforeValidator
from typing_extensions import TypedDict

from cni.contracts.api_objects import Cidr, List, Metadata


class FelixConfigurationSpec(TypedDict, total=False):
    """Of a FelixConfiguration."""

    bpfEnabled: bool
    wireguardEnabled: bool
    wireguardEnabledV6: bool
    ipv6Support: bool
    routeSource: str
    programClusterRoutes: str


class FelixConfiguration(TypedDict):
    """The settings of Felix on all nodes (`default`) or on one (`node.NAME`)."""

    metadata: Metadata
    spec: NotRequired[FelixConfigurationSpec]


class NodePeer(TypedDict):
    """A session, as calico-node tells of it."""

    peerIP: NotRequired[str]
    state: NotRequired[str]
    since: NotRequired[str]


class NodeStatusBGP(TypedDict, total=False):
    """The sessions of a node."""

    peersV4: List[NodePeer]
    peersV6: List[NodePeer]


class NodeStatusStatus(TypedDict, total=False):
    """Of a CalicoNodeStatus."""

    bgp: NodeStatusBGP


class NodeStatusSpec(TypedDict):
    """Of a CalicoNodeStatus."""

    node: str


class CalicoNodeStatus(TypedDict):
    """What calico-node of one node tells of itself, where it is asked to."""

    metadata: Metadata
    spec: NodeStatusSpec
    status: NotRequired[NodeStatusStatus]


class OperatorIPPool(TypedDict):
    """A pool that the operator holds."""

    cidr: Cidr


class CalicoNetwork(TypedDict, total=False):
    """Of an Installation."""

    bgp: str | None
    ipPools: List[OperatorIPPool]


class OperatorIPAM(TypedDict, total=False):
    """Which IPAM the operator writes into the conflist."""

    type: str


class OperatorCNI(TypedDict, total=False):
    """Which plugins the operator installs."""

    type: str
    ipam: OperatorIPAM | None


class InstallationSpec(TypedDict, total=False):
    """Of an Installation."""

    cni: OperatorCNI | None
    calicoNetwork: CalicoNetwork | None


class Installation(TypedDict):
    """What Tigera's operator makes of a cluster."""

    metadata: Metadata
    spec: NotRequired[InstallationSpec]


# The template of the conflist is no JSON before Calico's installer has filled it in.
_TYPE = re.compile(r"[\w.-]{1,64}")
_IPAM_TYPE = re.compile(r'"ipam"\s*:\s*\{[^{}]*?"type"\s*:\s*"([\w.-]{1,64})"')


def _ipam_type(said: object) -> str:
    """Return the ipam.type of a template, or of what was read of one before."""
    if not isinstance(said, str):
        return ""
    match = _IPAM_TYPE.search(said)
    return match[1] if match else said if _TYPE.fullmatch(said) else ""


class CalicoConfigData(TypedDict, total=False):
    """Of the ConfigMap calico-config: of the conflist, no more than its ipam.type is read."""

    calico_backend: str
    cni_network_config: Annotated[str, BeforeValidator(_ipam_type)]


class CalicoConfig(TypedDict):
    """The ConfigMap that Calico's manifest has, and its operator has not."""

    metadata: Metadata
    data: NotRequired[CalicoConfigData]
