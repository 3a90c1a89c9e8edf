"""What the agent answers about the addresses that it holds for somebody, in the forms of contracts.agent_api. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from cni.agent.allocator import Lease
from cni.contracts.agent_api import (
    Allocation,
    InterfaceDetail,
    IpamAddResponse,
    IpConfig,
    Route,
    WorkloadEndpointStatus,
)


class HeldInterface(NamedTuple):
    """One interface's addresses and who holds them, as the lease store keeps it."""

    owner: str
    network: str
    ifname: str
    pod_namespace: str
    pod_name: str
    pod_uid: str
    container_ids: list[str]
    leases: list[Lease]


class Detection(NamedTuple):
    """What the plugin is asked to find out about each address before it uses it."""

    conflicts: bool = False
    gateway: bool = False


def add_response(of_pod: Sequence[HeldInterface], network: str, ifname: str, detection: Detection) -> IpamAddResponse:
    """Answer an ADD: this interface first, then the pod's others, as a real agent does.

    Another network's interface of the same name is left out: nothing in the answer could tell the two apart.
    """
    shown = [held for held in of_pod if held.ifname != ifname or held.network == network]
    shown.sort(key=lambda held: held.ifname != ifname)
    return {
        "ips": [_ip_config(held.ifname, lease, detection) for held in shown for lease in held.leases],
        "routes": [route for held in shown for route in _routes(held)],
    }


def endpoint_status(of_pod: Sequence[HeldInterface], node: str) -> WorkloadEndpointStatus:
    """Answer what a pod holds; at least one interface."""
    pod = of_pod[0]
    return {
        "podNamespace": pod.pod_namespace,
        "podName": pod.pod_name,
        "podUID": pod.pod_uid,
        "node": node,
        "interfaces": [_interface_detail(held) for held in of_pod],
    }


def allocation(held: HeldInterface) -> Allocation:
    """Describe one interface's addresses and who holds them."""
    row: Allocation = {
        "network": held.network,
        "podNamespace": held.pod_namespace,
        "podName": held.pod_name,
        "podUID": held.pod_uid,
        "ifName": held.ifname,
        "containerIDs": held.container_ids,
    }
    for lease in held.leases:
        if lease.version == 4:
            row["ipv4"], row["ipv4Pool"] = _with_prefix(lease), lease.pool
        else:
            row["ipv6"], row["ipv6Pool"] = _with_prefix(lease), lease.pool
    return row


def _ip_config(ifname: str, lease: Lease, detection: Detection) -> IpConfig:
    config: IpConfig = {
        "version": lease.version,
        "address": _with_prefix(lease),
        "nic": ifname,
        "ipPool": lease.pool,
        "vlan": lease.vlan,
    }
    if lease.gateway:
        config["gateway"] = lease.gateway
    if detection.conflicts:
        config["enableIPConflictDetection"] = True
    if detection.gateway:
        config["enableGatewayDetection"] = True
    return config


def _interface_detail(held: HeldInterface) -> InterfaceDetail:
    detail: InterfaceDetail = {"interface": held.ifname, "routes": _routes(held)}
    for lease in held.leases:
        detail["vlan"] = detail.get("vlan") or lease.vlan
        if lease.version == 4:
            detail["ipv4"], detail["ipv4Pool"], detail["ipv4Gateway"] = _with_prefix(lease), lease.pool, lease.gateway
        else:
            detail["ipv6"], detail["ipv6Pool"], detail["ipv6Gateway"] = _with_prefix(lease), lease.pool, lease.gateway
    return detail


def _routes(held: HeldInterface) -> list[Route]:
    return [
        {"ifName": held.ifname, "dst": route["dst"], "gw": route["gw"]}
        for lease in held.leases
        for route in lease.routes
    ]


def _with_prefix(lease: Lease) -> str:
    return f"{lease.address}/{lease.prefix_length}"
