"""Which proxy leads to a server, by the variables and rules that Go's net/http has, and so kubectl. Pure.

ALL_PROXY is not among the variables. https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config describes NO_PROXY.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_WITH_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]", re.IGNORECASE)
_WITH_PORT = re.compile(r"(?:\[([^][]*)\]|([^][:]*)):([^][:]*)")


def choose(server: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the proxy that leads to a server; "" if none does."""
    try:
        url = urlsplit(server)
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    except (KeyError, ValueError):  # no URL of a server: who asks it will say so
        return ""
    proxy = _value(environment, f"{url.scheme}_proxy")
    address = _address(host)
    if not proxy or host == "localhost" or (address and address.is_loopback):
        return ""
    rules = [rule.strip().lower() for rule in _value(environment, "no_proxy").split(",")]
    if any(_excludes(rule, address or host, port) for rule in rules):
        return ""
    return proxy if _WITH_SCHEME.match(proxy) else f"http://{proxy}"


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name, "")


def _excludes(rule: str, host: str | _Address, port: int) -> bool:
    """Return whether a rule of NO_PROXY is for this host."""
    if rule == "*":
        return True
    if network := _network(rule):
        return not isinstance(host, str) and host in network
    with_port = _WITH_PORT.fullmatch(rule)
    name, its_port = (with_port[1] or with_port[2] or "", with_port[3]) if with_port else (rule, "")
    if not name or its_port not in ("", str(port)):
        return False
    if not isinstance(host, str):
        return host == _address(name)
    name = name.removeprefix("*") if name.startswith("*.") else name
    return host.endswith(name) if name.startswith(".") else f".{host}".endswith(f".{name}")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return a CIDR, which may have host bits. A mask such as /255.0.0.0 makes none."""
    try:
        return ipaddress.ip_network(text, strict=False) if text.rpartition("/")[2].isdigit() and "/" in text else None
    except ValueError:
        return None


def _address(text: str) -> _Address | None:
    """Return an address, and that of IPv4 for one that IPv6 maps."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
