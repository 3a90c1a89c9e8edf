"""Turns the agent's response into the IPAM result of a CNI version. Pure.

CNI specification section 5 ("Success", "Delegated plugins (IPAM)"); forms: containernetworking/cni pkg/types/020, 040,
100. A delegated plugin's result has no `interfaces` and no `ips[].interface`.
"""

from cni.cni_versions import ADDRESS_HAS_VERSION, ONE_OBJECT_PER_FAMILY
from cni.errors import UNSUPPORTED_FIELD, CNIError
from cni.plugin import ip_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Address:
    """One address of the interface: packed bytes, prefix length, gateway (empty if none), and the probes asked for."""

    __slots__ = ("detect_conflict", "detect_gateway", "gateway", "length", "packed")

    def __init__(self, ip: "dict[str, Any]") -> None:
        self.packed, self.length = ip_address.parse_prefix(ip["address"])
        self.gateway: str = ip.get("gateway") or ""
        self.detect_conflict: bool = ip.get("enableIPConflictDetection") or False
        self.detect_gateway: bool = (ip.get("enableGatewayDetection") and self.gateway != "") or False
        if ip_address.family(self.packed) != ip["version"]:
            raise ValueError(f"{ip['address']} is not of IP version {ip['version']}")


def select(response: "dict[str, Any]", ifname: str) -> list[Address]:
    """Return the interface's addresses, IPv4 first, one per family; code 105 naming what was seen.

    The agent lists the addresses of every interface of the pod, in random order.
    """
    ips = response["ips"] or []
    try:
        addresses = [Address(ip) for ip in ips if ip["nic"] == ifname]
    except ValueError as error:
        raise _senseless(str(error)) from None
    families = [ip_address.family(address.packed) for address in addresses]
    if not addresses or len(set(families)) != len(families):
        seen = ", ".join([f"{ip['address']} for {ip['nic']}" for ip in ips]) or "no address"
        raise _senseless(f"want one address per family for {ifname}, got {seen}")
    return sorted(addresses, key=lambda address: len(address.packed))


def refuse_static(requested: list[tuple[str, str]], addresses: list[Address]) -> None:
    """Raise code 2 for a static address asked for that the agent did not give.

    # DEPARTS: upstream reads IP= and ignores it silently, so a pod runs under another address than its owner expects.
    """
    given = [address.packed for address in addresses]
    for key, value in requested:
        # What is no address is not shown: it may be a secret that stands in the wrong place.
        shown = "(no address)"
        try:
            address = ip_address.parse(value.partition("/")[0])
            if address in given:
                continue
            shown = ip_address.text(address)
        except ValueError:
            pass
        text = "static addresses are asked for with SpiderPool's pod annotations (ipam.spidernet.io/ippool), not here"
        raise CNIError(UNSUPPORTED_FIELD, text, f"{key}={shown}")


def render(
    version: str, shape: str, ifname: str, addresses: list[Address], response: "dict[str, Any]"
) -> "dict[str, Any]":
    """Return the result object of a CNI version in the shape `calico` or `subnet`; code 105."""
    try:
        ips = [_ip(address, shape) for address in addresses]
        routes = [] if shape == "calico" else _routes(response, ifname)
    except ValueError as error:
        raise _senseless(str(error)) from None
    result: dict[str, Any] = {"cniVersion": version}
    if version in ONE_OBJECT_PER_FAMILY:
        result.update(_per_family(addresses, ips, routes))
    else:
        if version in ADDRESS_HAS_VERSION:
            versions = [str(ip_address.family(address.packed)) for address in addresses]
            ips = [{"version": family, **ip} for family, ip in zip(versions, ips, strict=True)]
        result["ips"] = ips
        if routes:
            result["routes"] = routes
    dns = {key: value for key, value in (response.get("dns") or {}).items() if value}
    if dns:
        result["dns"] = {key: dns[key] for key in ("nameservers", "domain", "search", "options") if key in dns}
    return result


def _ip(address: Address, shape: str) -> dict[str, str]:
    text = ip_address.text(address.packed)
    if shape == "calico":
        return {"address": f"{text}/{8 * len(address.packed)}"}
    ip = {"address": f"{text}/{address.length}"}
    if address.gateway:
        gateway = ip_address.parse(address.gateway)
        if len(gateway) != len(address.packed):
            raise ValueError(f"gateway {address.gateway} is not of {text}'s family")
        ip["gateway"] = ip_address.text(gateway)
    return ip


def _routes(response: "dict[str, Any]", ifname: str) -> list[dict[str, str]]:
    """Return the interface's routes, IPv4 first; within a family the agent's order may matter (a gateway's route)."""
    routes = [_route(route) for route in response.get("routes") or () if route["ifName"] == ifname]
    return sorted(routes, key=lambda route: ":" in route["dst"])


def _route(route: dict[str, str]) -> dict[str, str]:
    packed, length = ip_address.parse_prefix(route["dst"])
    out = {"dst": f"{ip_address.text(ip_address.network(packed, length))}/{length}"}
    if route["gw"]:
        out["gw"] = ip_address.text(ip_address.parse(route["gw"]))
    return out


def _per_family(
    addresses: list[Address], ips: list[dict[str, str]], routes: list[dict[str, str]]
) -> "dict[str, dict[str, Any]]":
    """Return `ip4` and `ip6` as 0.1.0 and 0.2.0 have them, with the routes inside by the family of `dst`."""
    out: dict[str, dict[str, Any]] = {}
    for address, ip in zip(addresses, ips, strict=True):
        family = ip_address.family(address.packed)
        entry = {"ip": ip["address"], **{key: value for key, value in ip.items() if key == "gateway"}}
        family_routes = [route for route in routes if (":" in route["dst"]) == (family == 6)]
        out[f"ip{family}"] = {**entry, "routes": family_routes} if family_routes else entry
    return out


def _senseless(details: str) -> CNIError:
    from cni.plugin import agent_errors

    return agent_errors.senseless("ADD", details)
