"""The SpiderIPPool manifest (CRD spiderippools.spiderpool.spidernet.io), as far as the embedded agent reads it.

Both versions of the resource have the same spec. Further fields are legal; affinities, for one, mean nothing without
Kubernetes. The checks are those of upstream's webhook (pkg/ippoolmanager/ippool_validate.go): what it accepts is
accepted here, with the same meaning. The agent (cni/agent/pools.py) checks how routes and pools fit together.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, with_config
from typing_extensions import TypedDict

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
AddressRange = tuple[Address, Address]  # both ends included


def _network(value: object) -> Network:
    """Return a network. Host bits are masked; whoever reads the manifest says so."""
    network = ip_network(str(value), strict=False)
    # Python would also take a bare address, a netmask, a hostmask and a zone.
    if "%" in str(value) or not str(value).rpartition("/")[2].isdecimal():
        raise ValueError(f"{value!r} is not in CIDR form")
    return network


def _subnet(value: object, info: ValidationInfo) -> Network:
    subnet = _network(value)
    if info.data.get("ipVersion") not in (None, subnet.version):
        raise ValueError(f"{subnet} is not of spec.ipVersion {info.data['ipVersion']}")
    return subnet


def _destination(value: object) -> Network:
    destination = _network(value)
    if destination.prefixlen == 0:
        raise ValueError("the default route comes with spec.gateway")
    return destination


def _address(value: object) -> Address:
    if "%" in str(value):
        raise ValueError(f"{value!r} has a zone")
    return ip_address(str(value))


def _in_subnet(address: Address, info: ValidationInfo) -> Address:
    subnet = info.data.get("subnet")  # absent if it is refused itself
    if subnet and address not in subnet:
        raise ValueError(f"{address} is not in spec.subnet {subnet}")
    return address


def _range(value: object, info: ValidationInfo) -> AddressRange:
    first, *last = str(value).split("-", 1)
    ends = [_in_subnet(_address(text), info) for text in (first, *(last or [first]))]
    if int(ends[1]) < int(ends[0]):
        raise ValueError(f"{value!r} ends before it starts")
    return ends[0], ends[1]


def _without_gateway(ips: list[AddressRange], info: ValidationInfo) -> list[AddressRange]:
    gateway = info.data.get("gateway")
    if gateway and _cover(ips, gateway) and not _cover(info.data.get("excludeIPs") or [], gateway):
        raise ValueError(f"holds spec.gateway {gateway}: add it to spec.excludeIPs, or leave it out")
    return ips


def _cover(ranges: list[AddressRange], address: Address) -> bool:
    return any(int(first) <= int(address) <= int(last) for first, last in ranges)


_Ranges = list[Annotated[AddressRange, BeforeValidator(_range)]]


class Metadata(TypedDict):
    """Of Kubernetes' ObjectMeta, the name."""

    name: Annotated[str, Field(min_length=1)]


class PoolRoute(TypedDict):
    """A route that every pod of the pool gets: a destination in CIDR form, and the address of the next hop."""

    dst: Annotated[Network, BeforeValidator(_destination)]
    gw: Annotated[Address, BeforeValidator(_address)]


@with_config(ConfigDict(extra="allow"))
class IpPoolSpec(TypedDict):
    """Which addresses a pool hands out. A validator sees the fields above its own, so the order of them matters."""

    ipVersion: NotRequired[Literal[4, 6] | None]
    subnet: Annotated[Network, BeforeValidator(_subnet)]
    gateway: NotRequired[Annotated[Address, BeforeValidator(_address), AfterValidator(_in_subnet)] | None]
    excludeIPs: NotRequired[_Ranges | None]
    ips: NotRequired[Annotated[_Ranges, AfterValidator(_without_gateway)] | None]
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
