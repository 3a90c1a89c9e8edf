"""The annotations by which SpiderPool is told which pools or subnets to take: pkg/types/k8s.go of SpiderPool.

As with Go's parser, the case of a key does not matter, null is nothing, and unknown keys are ignored.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter
from typing_extensions import TypedDict

from cni.contracts.api_objects import List

IPPOOL = "ipam.spidernet.io/ippool"
IPPOOLS = "ipam.spidernet.io/ippools"
SUBNET = "ipam.spidernet.io/subnet"
SUBNETS = "ipam.spidernet.io/subnets"
OF_NAMESPACE = {4: "ipam.spidernet.io/default-ipv4-ippool", 6: "ipam.spidernet.io/default-ipv6-ippool"}
OF_CONFLIST = {4: "default_ipv4_ippool", 6: "default_ipv6_ippool"}  # keys of the conflist's `ipam` that name pools, too


def _as_go_reads(value: object) -> object:
    if not isinstance(value, dict):
        return {} if value is None else value
    return {str(key).lower(): member for key, member in value.items() if member is not None}


class Item(TypedDict, total=False):
    """What is to be taken for an interface."""

    interface: str
    ipv4: List[str]
    ipv6: List[str]
    cleangateway: bool


_Item = Annotated[Item, BeforeValidator(_as_go_reads)]

CONTRACTS: dict[str, TypeAdapter[Any]] = {
    IPPOOL: TypeAdapter(_Item),
    IPPOOLS: TypeAdapter(List[_Item]),
    SUBNET: TypeAdapter(_Item),
    SUBNETS: TypeAdapter(List[_Item]),
    OF_NAMESPACE[4]: TypeAdapter(List[str]),
    OF_NAMESPACE[6]: TypeAdapter(List[str]),
}
