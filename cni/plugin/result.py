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
        if ip_address.family(self.packed) != ip["version"]:
            raise ValueError(f"{ip['address']} is not of IP version {ip['version']}")
        self.gateway = _parse_gateway(ip.get("gateway"), self.packed)
        self.detect_conflict: bool = ip.get("enableIPConflictDetection") or False
        self.detect_gateway: bool = (ip.get("enableGatewayDetection") and self.gateway != b"") or False


class Route:
    """One route of the interface: the destination's packed bytes without host bits, its prefix length, and the gateway
    (empty if none)."""

    __slots__ = ("dst", "gateway", "length")

    def __init__(self, route: dict[str, str]) -> None:
        packed, self.length = ip_address.parse_prefix(route["dst"])
        self.dst = ip_address.network(packed, self.length)
        self.gateway = _parse_gateway(route["gw"], packed)


class Answer:
    """What the agent answers for one interface: addresses, IPv4 first, one per family; routes, IPv4 first; dns."""

    __slots__ = ("addresses", "dns", "routes")

    def __init__(self, response: "dict[str, Any]", ifname: str) -> None:
        """Read an IpamAddResponse, which lists what every interface of the pod has, in random order.

        Everything is parsed here, whether or not the result's shape needs it. Code 100 for no address, and 105.
        """
        ips = response["ips"]
        if not ips:
            raise _no_address(ifname)
        try:
            self.addresses = [Address(ip) for ip in ips if ip["nic"] == ifname]
            self.routes = [Route(route) for route in response.get("routes") or () if route["ifName"] == ifname]
        except ValueError as error:
            raise _senseless(str(error)) from None
        families = {len(address.packed) for address in self.addresses}
        if not families:
            raise _senseless_for(ifname, ips)
        if len(families) != len(self.addresses):
            seen = ", ".join([f"{ip['address']} for {ip['nic']}" for ip in ips])
            raise _senseless(f"want one address per family for {ifname}, got {seen}")
        self.addresses.sort(key=lambda address: len(address.packed))
        # Within a family the agent's order may matter: the route to a gateway comes before the one through it.
        self.routes.sort(key=lambda route: len(route.dst))
        self.dns = {key: value for key, value in (response.get("dns") or {}).items() if value}


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


def render(version: str, shape: str, answer: Answer) -> "dict[str, Any]":
    """Return the result object of a CNI version in the shape `calico` or `subnet`."""
    addresses = answer.addresses
    ips = [_ip(address, shape) for address in addresses]
    routes = [] if shape == "calico" else [_route(route) for route in answer.routes]
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
    if answer.dns:
        result["dns"] = {
            key: answer.dns[key] for key in ("nameservers", "domain", "search", "options") if key in answer.dns
        }
    return result


def _parse_gateway(text: str | None, packed: bytes) -> bytes:
    """Return a gateway's packed bytes, none for no text; ValueError unless it is of the family of `packed`."""
    if not text:
        return b""
    gateway = ip_address.parse(text)
    if len(gateway) != len(packed):
        raise ValueError(f"gateway {text} is not of {ip_address.text(packed)}'s family")
    return gateway


def _ip(address: Address, shape: str) -> dict[str, str]:
    text = ip_address.text(address.packed)
    if shape == "calico":
        return {"address": f"{text}/{8 * len(address.packed)}"}
    ip = {"address": f"{text}/{address.length}"}
    if address.gateway:
        ip["gateway"] = ip_address.text(address.gateway)
    return ip


def _route(route: Route) -> dict[str, str]:
    out = {"dst": f"{ip_address.text(route.dst)}/{route.length}"}
    if route.gateway:
        out["gw"] = ip_address.text(route.gateway)
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


def _senseless_for(ifname: str, ips: "list[dict[str, Any]]") -> CNIError:
    from cni.plugin import agent_errors

    return agent_errors.other_interfaces(ifname, ", ".join([f"{ip['address']} for {ip['nic']}" for ip in ips]))


def _no_address(ifname: str) -> CNIError:
    from cni.plugin import agent_errors

    return agent_errors.no_address(ifname)
