"""Reads the node's routes, and its end of each pod's link. Side effects: reads netlink and /proc."""

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cni.contracts.facts import LocalAddress
from cni.contracts.route_facts import KernelRoute, PodInterface

_MAIN = 254  # the table that a packet's way is looked up in, after local's
_MOST = 20_000  # routes; a node with more is told of the first ones only
_TYPES = {1: "unicast", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_EVERY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104  (the default route, nobody's address)
_LONGEST = {socket.AF_INET: 32, socket.AF_INET6: 128}
_CONF = Path("/proc/sys/net/ipv4/conf")


def routes() -> list[KernelRoute]:
    """Return the routes of the main table that are for more than one address. OSError."""
    found: list[KernelRoute] = []
    for family, every in _EVERY.items():
        for message, attributes in _messages(family):
            if message["dst_len"] < _LONGEST[family] and message["type"] in _TYPES:
                prefix = f"{attributes.get('RTA_DST', every)}/{message['dst_len']}"
                found.append(
                    {"prefix": prefix, "type": _TYPES[message["type"]], "gateways": sorted(_gateways(attributes))}
                )
            if len(found) >= _MOST:
                break
    return found


def pod_interfaces(addresses: Iterable[LocalAddress]) -> list[PodInterface]:
    """Return the node's end of the link of each address. OSError."""
    from pyroute2 import IPRoute

    leads_to: dict[str, int] = {}
    for family, longest in _LONGEST.items():
        for message, attributes in _messages(family):
            if message["dst_len"] == longest and "RTA_OIF" in attributes:
                leads_to[str(attributes.get("RTA_DST"))] = attributes["RTA_OIF"]
    with IPRoute() as kernel:
        links = {link["index"]: (link.get_attr("IFLA_IFNAME"), bool(link["flags"] & 1)) for link in kernel.get_links()}
    return [_interface(one["address"], links.get(leads_to.get(one["address"], 0))) for one in addresses]


def _interface(address: str, link: tuple[str, bool] | None) -> PodInterface:
    name, is_up = link or ("", False)
    is_ipv4 = ipaddress.ip_address(address).version == 4
    proxy_arp = any(map(_is_on, ("all", name))) if name and is_ipv4 else None
    return {"address": address, "interface": name, "is_up": is_up, "proxy_arp": proxy_arp}


def _is_on(name: str) -> bool:
    try:
        return (_CONF / name / "proxy_arp").read_text().strip() == "1"
    except OSError:  # the interface has just gone
        return False


def _messages(family: int) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield the routes of the main table, each with its attributes by name. OSError."""
    from pyroute2 import IPRoute, NetlinkError

    with IPRoute() as kernel:
        try:
            for message in kernel.get_routes(family=family, table=_MAIN):
                yield message, dict(message["attrs"])
        except NetlinkError as error:
            raise OSError(error.code, str(error)) from None


def _gateways(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the next hops of a route: it may have several, and an IPv4 route may have one of IPv6."""
    for one in (attributes, *(dict(hop["attrs"]) for hop in attributes.get("RTA_MULTIPATH") or [])):
        if gateway := one.get("RTA_GATEWAY") or (one.get("RTA_VIA") or {}).get("addr"):
            yield str(gateway)
