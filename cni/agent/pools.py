"""Which pools there are: reads SpiderIPPool manifests and refuses wrong ones. Its one side effect is reading them.

The checks are those of upstream's webhook (pkg/ippoolmanager/ippool_validate.go): what it accepts is accepted here,
with the same meaning. A pool hands out exactly `ips` minus `excludeIPs`: a network or broadcast address is handed out
if it is listed, a gateway that is listed and not excluded is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from cni.agent.ranges import Range, contains, intersect, merge, subtract
from cni.contracts.ippool import IpPoolSpec, PoolRoute, SpiderIpPool

_MANIFEST = TypeAdapter(SpiderIpPool)
# `status` is in whatever `kubectl get -o yaml` printed, and says nothing that the operator meant.
_KNOWN_FIELDS = SpiderIpPool.__annotations__.keys() | {"status"}


@dataclass(frozen=True)
class Pool:
    """One SpiderIPPool."""

    name: str
    origin: str  # the file
    version: Literal[4, 6]
    subnet: IPv4Network | IPv6Network
    ranges: list[Range]  # what it hands out
    gateway: str | None
    routes: list[PoolRoute]
    vlan: int
    default: bool
    disabled: bool


class PoolError(Exception):
    """A manifest that cannot be used: names file, field and problem on one line."""


def read_pools(paths: Sequence[Path], warn: Callable[[str], None]) -> list[Pool]:
    """Read every manifest in the files and folders; raise PoolError. Unknown fields are told to `warn`."""
    pools: list[Pool] = []
    for file in [file for path in paths for file in _files(path)]:
        for where, document in _documents(file):
            pool = _pool(file, where, document, warn)
            _refuse_overlap(pool, pools, where)
            pools.append(pool)
    if not pools:
        raise PoolError(f"{', '.join(map(str, paths))}: no SpiderIPPool in it")
    return pools


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml", ".json"))
    except OSError as error:
        raise PoolError(f"{path}: {error.strerror}") from None


def _documents(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield each manifest, with how an error names it."""
    try:
        documents = list(yaml.safe_load_all(file.read_bytes()))
    except OSError as error:
        raise PoolError(f"{file}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PoolError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    for number, document in enumerate(documents, 1):
        if document is not None:
            yield (f"{file}: document {number}" if len(documents) > 1 else str(file)), document


def _pool(file: Path, where: str, document: Any, warn: Callable[[str], None]) -> Pool:
    manifest = _validated(where, document)
    spec = manifest["spec"]
    for field in _unknown_fields(manifest):
        warn(f"{where}: {field}: unknown field, ignored")
    subnet = _subnet(where, spec)
    ranges = _handed_out(where, spec, subnet)
    return Pool(
        name=manifest["metadata"]["name"],
        origin=str(file),
        version=subnet.version,
        subnet=subnet,
        ranges=ranges,
        gateway=_gateway(where, spec, subnet, ranges),
        routes=_routes(where, spec, subnet),
        vlan=spec.get("vlan") or 0,
        default=bool(spec.get("default")),
        disabled=bool(spec.get("disable")),
    )


def _validated(where: str, document: Any) -> SpiderIpPool:
    try:
        return _MANIFEST.validate_python(document, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise PoolError(f"{where}: {field or 'manifest'}: {first['msg']}") from None


def _unknown_fields(manifest: SpiderIpPool) -> list[str]:
    in_spec = [f"spec.{field}" for field in manifest["spec"].keys() - IpPoolSpec.__annotations__.keys()]
    return sorted([*(manifest.keys() - _KNOWN_FIELDS), *in_spec])


def _subnet(where: str, spec: IpPoolSpec) -> IPv4Network | IPv6Network:
    try:
        subnet = ip_network(spec["subnet"])
    except ValueError as error:
        raise PoolError(f"{where}: spec.subnet: {error}") from None
    if not _has_prefix_length(spec["subnet"]):
        raise PoolError(f"{where}: spec.subnet: '{spec['subnet']}' is not in CIDR form")
    if spec.get("ipVersion") not in (None, subnet.version):
        raise PoolError(f"{where}: spec.subnet: {subnet} is not of spec.ipVersion {spec['ipVersion']}")
    return subnet


def _has_prefix_length(text: str) -> bool:
    """Say whether a subnet is in CIDR form; Python would also take a bare address, a netmask, a hostmask, a scope."""
    return text.rpartition("/")[2].isdecimal() and "%" not in text


def _handed_out(where: str, spec: IpPoolSpec, subnet: IPv4Network | IPv6Network) -> list[Range]:
    listed = _ranges(f"{where}: spec.ips", spec.get("ips"), subnet)
    excluded = _ranges(f"{where}: spec.excludeIPs", spec.get("excludeIPs"), subnet)
    return subtract(merge(listed), merge(excluded))


def _ranges(where: str, texts: list[str] | None, subnet: IPv4Network | IPv6Network) -> list[Range]:
    ranges = []
    for index, text in enumerate(texts or ()):
        first, dash, last = text.partition("-")
        start = int(_address(f"{where}[{index}]", first, subnet))
        end = int(_address(f"{where}[{index}]", last, subnet)) if dash else start
        if end < start:
            raise PoolError(f"{where}[{index}]: '{text}' ends before it starts")
        ranges.append((start, end))
    return ranges


def _address(where: str, text: str, subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise PoolError(f"{where}: {error}") from None
    if "%" in text or address not in subnet:
        raise PoolError(f"{where}: {text} is not in spec.subnet {subnet}")
    return address


def _gateway(where: str, spec: IpPoolSpec, subnet: IPv4Network | IPv6Network, ranges: list[Range]) -> str | None:
    text = spec.get("gateway")
    if text is None:
        return None
    gateway = _address(f"{where}: spec.gateway", text, subnet)
    if contains(ranges, int(gateway)):
        raise PoolError(f"{where}: spec.ips: holds spec.gateway {gateway}: add it to spec.excludeIPs, or leave it out")
    return str(gateway)


def _routes(where: str, spec: IpPoolSpec, subnet: IPv4Network | IPv6Network) -> list[PoolRoute]:
    routes: dict[str, PoolRoute] = {}
    for index, route in enumerate(spec.get("routes") or ()):
        field = f"{where}: spec.routes[{index}]"
        destination = _destination(f"{field}.dst", route["dst"], subnet.version)
        if destination in routes:
            raise PoolError(f"{field}.dst: {destination} has a route already")
        gateway = _address(f"{field}.gw", route["gw"], subnet)
        routes[destination] = {"dst": destination, "gw": str(gateway)}
    return list(routes.values())


def _destination(where: str, text: str, version: int) -> str:
    try:
        destination = ip_network(text, strict=False)
    except ValueError as error:
        raise PoolError(f"{where}: {error}") from None
    if not _has_prefix_length(text) or destination.version != version:
        raise PoolError(f"{where}: '{text}' is not an IPv{version} subnet")
    if destination.prefixlen == 0:
        raise PoolError(f"{where}: the default route comes with spec.gateway")
    return str(destination)


def _refuse_overlap(pool: Pool, others: list[Pool], where: str) -> None:
    for other in others:
        if other.name == pool.name:
            raise PoolError(f"{where}: metadata.name: {other.origin} has a pool {pool.name} already")
        if other.subnet != pool.subnet and other.subnet.overlaps(pool.subnet):
            text = f"{pool.subnet} overlaps {other.subnet} of pool {other.name} ({other.origin})"
            raise PoolError(f"{where}: spec.subnet: {text}")
        if other.subnet == pool.subnet and (common := intersect(pool.ranges, other.ranges)):
            text = f"{_text(pool, common[0])} is handed out by pool {other.name} ({other.origin}), too"
            raise PoolError(f"{where}: spec.ips: {text}")


def _text(pool: Pool, both: Range) -> str:
    first, last = (str(pool.subnet.network_address + (end - int(pool.subnet.network_address))) for end in both)
    return first if first == last else f"{first}-{last}"
