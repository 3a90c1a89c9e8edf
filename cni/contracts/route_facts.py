"""What doctor knows of routes: those of the node's kernel, of its BIRD, and of the router."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from cni.contracts.api_objects import Address, Cidr


class BirdRoute(TypedDict):
    """A route that BIRD exports over a protocol."""

    prefix: Cidr
    interface: NotRequired[str]


class BirdProtocol(TypedDict):
    """A BGP session of BIRD."""

    name: str
    neighbor: str
    state: Annotated[str, Field(description="BIRD's word: Established, Active, Idle ...")]
    since: str
    seconds: NotRequired[Annotated[float, Field(description="How long it has been in this state.")]]
    last_error: str
    counters: Annotated[
        dict[str, list[int]],
        Field(description="import_updates, export_withdraws ...: received, rejected, filtered, ignored, accepted."),
    ]
    exported: list[BirdRoute]


class Bird(TypedDict):
    """One BIRD: there is one for each family."""

    socket: str
    fault: Annotated[str, Field(description="Why it has not answered; empty where it has.")]
    version: str
    protocols: list[BirdProtocol]


class KernelRoute(TypedDict):
    """A route of the node's main table that is for more than one address."""

    prefix: Cidr
    type: Annotated[str, Field(description="unicast, blackhole, unreachable ...")]
    gateways: list[str]


class PodInterface(TypedDict):
    """The node's end of a pod's link, by the host route of one of the pod's addresses."""

    address: Address
    interface: Annotated[str, Field(description="Where the host route leads to; empty where there is none.")]
    is_up: bool
    proxy_arp: Annotated[bool | None, Field(description="Of the interface or of all; null for IPv6.")]


class RouterNeighbor(TypedDict):
    """A BGP session, as the router sees it."""

    state: str
    peer_state: Annotated[str, Field(description='FRR: "Policy" where it takes and sends nothing.')]
    prefixes_received: int


class Router(TypedDict):
    """What an FRR router says, by --router."""

    as_number: NotRequired[Annotated[int, Field(description="Its own, if a summary was given.")]]
    neighbors: dict[str, RouterNeighbor]
    routes: Annotated[dict[Cidr, list[str]], Field(description="Prefix -> next hops.")]
