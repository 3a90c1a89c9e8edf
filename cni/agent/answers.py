"""Makes the responses of contracts.agent_api out of held interfaces. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from cni.agent.leases import HeldInterface, Lease
from cni.contracts.agent_api import (
    Allocation,
    InterfaceDetail,
    IpamAddResponse,
    IpConfig,
    Route,
    WorkloadEndpointStatus,
)


class Detection(NamedTuple):
    """Which probes the responses ask the plugin to make before it uses an address."""

    conflicts: bool = False
    gateway: bool = False


def add_response(of_pod: Sequence[HeldInterface], network: str, ifname: str, detection: Detection) -> IpamAddResponse:
    """Answer an ADD with this interface first and then the pod's other ones, as a real agent does.

    An interface of the same name in another network is left out, because the response could not tell the two apart.
    """
    shown = [held for held in of_pod if held.ifname != ifname or held.network == network]
    shown.sort(key=lambda held: held.ifname != ifname)
    return {
        "ips": [_ip_config(held.ifname, lease, detection) for held in shown for lease in held.leases],
        "routes": [route for held in shown for route in _routes(held)],
    }


def endpoint_status(of_pod: Sequence[HeldInterface], node: str) -> WorkloadEndpointStatus:
    """Describe what one pod holds; `of_pod` has at least one interface."""
    pod = of_pod[0]
    return {
        "podNamespace": pod.pod_namespace,
        "podName": pod.pod_name,
        "podUID": pod.pod_uid,
        "node": node,
        "interfaces": [_interface_detail(held) for held in of_pod],
    }


def allocation(held: HeldInterface) -> Allocation:
    """Describe the addresses of one interface and who holds them."""
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
