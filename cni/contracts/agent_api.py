"""The spiderpool-agent's HTTP API on its unix socket: the operations, their requests, and their responses by status.

It is upstream's api/v1/agent/openapi.yaml, corrected where real agents were seen to do something else, and our
extensions. The bodies of 500 and 501 are one JSON string; those of 400, 404 (unknown path), 405, 406, 415 and 422 are
an ErrorObject; a 200 of healthy and of the releases has no body.
"""

from typing import Annotated, Any, Literal, NamedTuple, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

BASE_PATH = "/v1"


class IpamAddArgs(TypedDict):
    """POST /ipam/ip. Required strings may be empty."""

    containerID: str
    ifName: str
    netNamespace: str
    podNamespace: str
    podName: str
    podUID: str
    defaultIPv4IPPool: NotRequired[list[str] | None]
    defaultIPv6IPPool: NotRequired[list[str] | None]
    cleanGateway: NotRequired[bool]
    matchMasterSubnet: NotRequired[bool]
    network: NotRequired[Annotated[str, Field(description="Extension: the network's name. Real agents ignore it.")]]


class IpConfig(TypedDict):
    """One address of one of the pod's interfaces."""

    version: Literal[4, 6]
    address: Annotated[str, Field(description="With prefix length.")]
    nic: Annotated[str, Field(description="The name of the interface that the address is for.")]
    gateway: NotRequired[str | None]
    ipPool: NotRequired[str | None]
    vlan: NotRequired[int | None]
    mac: NotRequired[str | None]
    enableGatewayDetection: NotRequired[bool | None]
    enableIPConflictDetection: NotRequired[bool | None]


class Route(TypedDict):
    """A route of one of the pod's interfaces."""

    ifName: str
    dst: str
    gw: str


class Dns(TypedDict):
    """Resolver settings."""

    domain: NotRequired[str | None]
    nameservers: NotRequired[list[str] | None]
    options: NotRequired[list[str] | None]
    search: NotRequired[list[str] | None]


class IpamAddResponse(TypedDict):
    """The addresses of every interface of the pod, in no stable order."""

    ips: list[IpConfig] | None
    routes: NotRequired[list[Route] | None]
    dns: NotRequired[Dns | None]


class IpamDelArgs(TypedDict):
    """DELETE /ipam/ip; the request has a body."""

    containerID: str
    ifName: str
    netNamespace: NotRequired[str]
    podNamespace: str
    podName: str
    podUID: str
    network: NotRequired[Annotated[str, Field(description="Extension: the network's name. Real agents ignore it.")]]


class IpamBatchDelArgs(TypedDict):
    """DELETE /ipam/ips: free the addresses of every interface of a pod, even of a live one."""

    containerID: str
    netNamespace: NotRequired[str]
    podNamespace: str
    podName: str
    podUID: str
    isReleaseConflictIPs: NotRequired[bool]
    network: NotRequired[Annotated[str, Field(description="Extension: the network's name. Real agents ignore it.")]]


class InterfaceDetail(TypedDict):
    """What one interface of a pod holds."""

    interface: str
    ipv4: NotRequired[str | None]
    ipv6: NotRequired[str | None]
    ipv4Pool: NotRequired[str | None]
    ipv6Pool: NotRequired[str | None]
    ipv4Gateway: NotRequired[str | None]
    ipv6Gateway: NotRequired[str | None]
    mac: NotRequired[str | None]
    vlan: NotRequired[int | None]
    routes: NotRequired[list[Route] | None]


class WorkloadEndpointStatus(TypedDict):
    """What a pod holds."""

    podNamespace: str
    podName: str
    podUID: str
    node: str
    interfaces: list[InterfaceDetail] | None


class GcAttachment(TypedDict):
    """An attachment that GC keeps."""

    containerID: str
    ifname: str


class IpamGcArgs(TypedDict):
    """Extension. POST /ipam/gc: free what `network` holds for attachments that are not listed."""

    network: str
    validAttachments: list[GcAttachment]


class IpamGcResponse(TypedDict):
    """Extension: the addresses that were freed."""

    released: list[str]


class Allocation(TypedDict):
    """Extension: the addresses of one interface and who holds them."""

    network: str
    podNamespace: str
    podName: str
    podUID: str
    ifName: str
    containerIDs: list[str]
    ipv4: NotRequired[str]
    ipv6: NotRequired[str]
    ipv4Pool: NotRequired[str]
    ipv6Pool: NotRequired[str]


class Allocations(TypedDict):
    """Extension. GET /ipam/allocations."""

    allocations: list[Allocation]


class ErrorObject(TypedDict):
    """An error of the agent's HTTP layer: an unknown path, a missing field, a wrong content type."""

    code: int
    message: str


class Operation(NamedTuple):
    """One operation: the type of its request, and the types of its responses by status; None is an empty body."""

    method: str
    path: str
    summary: str
    request: Any
    responses: dict[int, Any]
    query: tuple[tuple[str, bool], ...] = ()  # name, required
    extension: bool = False


OPERATIONS = (
    Operation("GET", "/ipam/healthy", "Say whether the agent serves.", None, {200: None, 500: str}),
    Operation(
        "POST",
        "/ipam/ip",
        "Allocate addresses to a pod's interface; a repeated request gets the same ones.",
        IpamAddArgs,
        {200: IpamAddResponse, 400: ErrorObject, 415: ErrorObject, 422: ErrorObject, 500: str},
    ),
    Operation(
        "DELETE",
        "/ipam/ip",
        "Release them. It succeeds where nothing is held; a live pod keeps its addresses.",
        IpamDelArgs,
        {200: None, 400: ErrorObject, 415: ErrorObject, 422: ErrorObject, 500: str},
    ),
    Operation(
        "DELETE",
        "/ipam/ips",
        "Release every interface of a pod, for a conflict (isReleaseConflictIPs) only.",
        IpamBatchDelArgs,
        {200: None, 400: ErrorObject, 415: ErrorObject, 422: ErrorObject, 500: str, 521: str, 522: str},
    ),
    Operation(
        "GET",
        "/workloadendpoint",
        "Show what a pod holds. Agents before v1.2 answer 501.",
        None,
        {200: WorkloadEndpointStatus, 404: str, 422: ErrorObject, 500: str, 501: str},
        query=(("podNamespace", True), ("podName", True), ("containerID", False), ("ifName", False)),
    ),
    Operation("GET", "/ipam/allocations", "List every allocation.", None, {200: Allocations, 500: str}, extension=True),
    Operation(
        "POST",
        "/ipam/gc",
        "Free what a network holds for attachments that are not listed.",
        IpamGcArgs,
        {200: IpamGcResponse, 400: ErrorObject, 415: ErrorObject, 422: ErrorObject, 500: str},
        extension=True,
    ),
)
