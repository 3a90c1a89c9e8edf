"""The SpiderIPPool manifest (CRD spiderippools.spiderpool.spidernet.io), as far as the embedded agent reads it.

Both versions of the resource have the same spec. Fields beside these are legal and warned about: affinities mean
nothing without Kubernetes. What needs arithmetic (an address inside the subnet, no overlap) is cni/agent/pools.py's.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

API_VERSIONS = ("spiderpool.spidernet.io/v1", "spiderpool.spidernet.io/v2beta1")


class Metadata(TypedDict):
    """Of Kubernetes' ObjectMeta, the name."""

    name: Annotated[str, Field(min_length=1)]


class PoolRoute(TypedDict):
    """A route that every pod of the pool gets."""

    dst: Annotated[str, Field(description="A subnet in CIDR form.")]
    gw: Annotated[str, Field(description="The next hop's address.")]


@with_config(ConfigDict(extra="allow"))
class IpPoolSpec(TypedDict):
    """Which addresses a pool hands out."""

    subnet: str
    ipVersion: NotRequired[Literal[4, 6] | None]
    ips: NotRequired[Annotated[list[str] | None, Field(description="Addresses and ranges a-b.")]]
    excludeIPs: NotRequired[Annotated[list[str] | None, Field(description="Addresses and ranges a-b.")]]
    gateway: NotRequired[str | None]
    routes: NotRequired[list[PoolRoute] | None]
    vlan: NotRequired[Annotated[int, Field(ge=0, le=4094)] | None]
    default: NotRequired[bool | None]
    disable: NotRequired[bool | None]


@with_config(ConfigDict(extra="allow"))
class SpiderIpPool(TypedDict):
    """One manifest."""

    apiVersion: Literal["spiderpool.spidernet.io/v1", "spiderpool.spidernet.io/v2beta1"]
    kind: Literal["SpiderIPPool"]
    metadata: Metadata
    spec: IpPoolSpec
