"""What the plugin prints: the IPAM result of each CNI version, and the error object.

CNI specification section 5; the forms are those of containernetworking's pkg/types/{020,040,100}. The result of a
delegated (IPAM) plugin has no `interfaces` and no `ips[].interface`, so no other keys than these are legal.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

_CLOSED = ConfigDict(extra="forbid", strict=True)

Cidr = Annotated[str, Field(pattern=r"^[0-9a-f.:]+/[0-9]{1,3}$")]
Address = Annotated[str, Field(pattern=r"^[0-9a-f.:]+$")]


@with_config(_CLOSED)
class Dns(TypedDict):
    """Resolver settings. A setting without a value is absent."""

    nameservers: NotRequired[list[str]]
    domain: NotRequired[str]
    search: NotRequired[list[str]]
    options: NotRequired[list[str]]


@with_config(_CLOSED)
class Route(TypedDict):
    """A route of this interface."""

    dst: Cidr
    gw: NotRequired[Address]


@with_config(_CLOSED)
class FamilyResult(TypedDict):
    """The address of one family, up to 0.2.0."""

    ip: Cidr
    gateway: NotRequired[Address]
    routes: NotRequired[list[Route]]


@with_config(_CLOSED)
class Result020(TypedDict):
    """The result of 0.1.0 and 0.2.0."""

    cniVersion: Literal["0.1.0", "0.2.0"]
    ip4: NotRequired[FamilyResult]
    ip6: NotRequired[FamilyResult]
    dns: NotRequired[Dns]


@with_config(_CLOSED)
class Ip040(TypedDict):
    """An address with its family, up to 0.4.0."""

    version: Literal["4", "6"]
    address: Cidr
    gateway: NotRequired[Address]


@with_config(_CLOSED)
class Result040(TypedDict):
    """The result of 0.3.0, 0.3.1 and 0.4.0."""

    cniVersion: Literal["0.3.0", "0.3.1", "0.4.0"]
    ips: Annotated[list[Ip040], Field(min_length=1)]
    routes: NotRequired[list[Route]]
    dns: NotRequired[Dns]


@with_config(_CLOSED)
class Ip(TypedDict):
    """An address from 1.0.0 on."""

    address: Cidr
    gateway: NotRequired[Address]


@with_config(_CLOSED)
class Result100(TypedDict):
    """The result of 1.0.0 and 1.1.0. A route of 1.1.0 may hold more, but the agent gives nothing to put there."""

    cniVersion: Literal["1.0.0", "1.1.0"]
    ips: Annotated[list[Ip], Field(min_length=1)]
    routes: NotRequired[list[Route]]
    dns: NotRequired[Dns]


@with_config(_CLOSED)
class Error(TypedDict):
    """The error object. The exit status is then 1."""

    cniVersion: Literal["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    code: Annotated[int, Field(ge=1)]
    msg: str
    details: NotRequired[str]


@with_config(_CLOSED)
class VersionResult(TypedDict):
    """What VERSION prints."""

    cniVersion: str
    supportedVersions: list[str]


RESULTS = {
    "0.1.0": Result020,
    "0.2.0": Result020,
    "0.3.0": Result040,
    "0.3.1": Result040,
    "0.4.0": Result040,
    "1.0.0": Result100,
    "1.1.0": Result100,
}
