"""What the agent holds for pods: the addresses, and the interfaces that they are held for. Pure."""

from typing import Literal, NamedTuple, TypedDict


class LeaseRoute(TypedDict):
    """A route that comes with an address."""

    dst: str
    gw: str


class Lease(NamedTuple):
    """One address that an interface holds. Gateway, VLAN and routes stay as they were when it was allocated."""

    version: Literal[4, 6]
    address: str
    prefix_length: int
    pool: str
    gateway: str | None
    vlan: int
    routes: list[LeaseRoute]


class HeldInterface(NamedTuple):
    """One interface of a pod, its leases, and the containers that hold them."""

    owner: str  # the pod, or the container where the request named no pod
    network: str
    ifname: str
    pod_namespace: str
    pod_name: str
    pod_uid: str
    container_ids: list[str]
    leases: list[Lease]
