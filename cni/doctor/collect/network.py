"""Reads what the kernel says of this node's network, and libcni of its pods. Side effects: reads /proc and netlink."""

import errno
import ipaddress
import json
from pathlib import Path

from cni.contracts.facts import Families, LocalAddress
from cni.installer.conflist.result_cache import CachedAttachment

GATEWAY = "169.254.1.1"  # what Calico gives to pods as their gateway: the node answers ARP for it in its place
_IPV4 = Path("/proc/sys/net/ipv4/ip_forward")
_IPV6 = Path("/proc/sys/net/ipv6/conf/all/forwarding")
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES)


def has_route(address: str) -> bool:
    """Tell whether the node would send what is for this address anywhere. OSError."""
    from pyroute2 import IPRoute, NetlinkError

    with IPRoute() as kernel:
        try:
            return bool(kernel.route("get", dst=address))
        except NetlinkError as error:
            if error.code in _NO_ROUTE:
                return False
            raise OSError(error.code, str(error)) from None


def forwarding() -> Families:
    """Return for which families the node forwards. OSError."""
    return {"ipv4": _is_on(_IPV4), "ipv6": _IPV6.exists() and _is_on(_IPV6)}  # a kernel may be without IPv6


def cached_addresses(attachment: CachedAttachment) -> list[LocalAddress]:
    """Return the addresses that libcni has cached of an attachment; none where its file is no result. OSError."""
    try:
        cached = json.loads(attachment.path.read_bytes())
        interface = str(cached["ifName"])
        ips = [str(ipaddress.ip_interface(one["address"]).ip) for one in cached["result"]["ips"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    pod, name = attachment.pod, attachment.network
    return [{"address": ip, "pod": pod, "interface": interface, "network": name} for ip in ips]


def _is_on(path: Path) -> bool:
    return path.read_text().strip() != "0"
