"""Reads the pools from SpiderIPPool manifests and refuses wrong ones. Side effect: reads the files.

A pool hands out exactly `ips` minus `excludeIPs`. A network or broadcast address is handed out if it is listed; a
gateway that is listed and not excluded is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from cni.agent.leases import LeaseRoute
from cni.agent.ranges import Range, intersect, merge, subtract
from cni.contracts import faults
from cni.contracts.ippool import AddressRange, IpPoolSpec, Network, SpiderIpPool

_MANIFEST = TypeAdapter(SpiderIpPool)
# `kubectl get -o yaml` also prints `status`, which the operator did not write.
_KNOWN_FIELDS = SpiderIpPool.__annotations__.keys() | {"status"}


@dataclass(frozen=True)
class Pool:
    """One SpiderIPPool."""

    name: str
    file: str
    version: Literal[4, 6]
    subnet: Network
    ranges: list[Range]  # what it hands out
    gateway: str | None
    routes: list[LeaseRoute]
    vlan: int
    default: bool
    disabled: bool


class PoolError(Exception):
    """A manifest cannot be used; the text names file, field and problem on one line."""


def read_pools(paths: Sequence[Path], warn: Callable[[str], None]) -> list[Pool]:
    """Read every manifest in the files and folders, and call `warn` for unknown fields; raise PoolError."""
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
    """Yield each manifest, after the text that names it in an error."""
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
    gateway = spec.get("gateway")
    return Pool(
        name=manifest["metadata"]["name"],
        file=str(file),
        version=spec["subnet"].version,
        subnet=spec["subnet"],
        ranges=subtract(_ranges(spec.get("ips")), _ranges(spec.get("excludeIPs"))),
        gateway=str(gateway) if gateway else None,
        routes=_routes(where, spec),
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
        raise PoolError(f"{where}: {field or 'manifest'}: {faults.message(first)}") from None


def _unknown_fields(manifest: SpiderIpPool) -> list[str]:
    in_spec = [f"spec.{field}" for field in manifest["spec"].keys() - IpPoolSpec.__annotations__.keys()]
    return sorted([*(manifest.keys() - _KNOWN_FIELDS), *in_spec])


def _ranges(listed: list[AddressRange] | None) -> list[Range]:
    return merge((int(first), int(last)) for first, last in listed or ())


def _routes(where: str, spec: IpPoolSpec) -> list[LeaseRoute]:
    """Return the routes. They are checked against the subnet here, because pydantic hides it from a route's fields."""
    subnet = spec["subnet"]
    routes: dict[str, LeaseRoute] = {}
    for index, route in enumerate(spec.get("routes") or ()):
        field, destination = f"{where}: spec.routes[{index}]", str(route["dst"])
        if route["dst"].version != subnet.version:
            raise PoolError(f"{field}.dst: {destination} is not an IPv{subnet.version} subnet")
        if destination in routes:
            raise PoolError(f"{field}.dst: {destination} has a route already")
        if route["gw"] not in subnet:
            raise PoolError(f"{field}.gw: {route['gw']} is not in spec.subnet {subnet}")
        routes[destination] = {"dst": destination, "gw": str(route["gw"])}
    return list(routes.values())


def _refuse_overlap(pool: Pool, others: list[Pool], where: str) -> None:
    for other in others:
        if other.name == pool.name:
            raise PoolError(f"{where}: metadata.name: {other.file} has a pool {pool.name} already")
        if other.subnet != pool.subnet and other.subnet.overlaps(pool.subnet):
            text = f"{pool.subnet} overlaps {other.subnet} of pool {other.name} ({other.file})"
            raise PoolError(f"{where}: spec.subnet: {text}")
        if other.subnet == pool.subnet and (common := intersect(pool.ranges, other.ranges)):
            text = f"{_range_text(pool, common[0])} is handed out by pool {other.name} ({other.file}), too"
            raise PoolError(f"{where}: spec.ips: {text}")


def _range_text(pool: Pool, both: Range) -> str:
    first, last = (str(pool.subnet.network_address + (end - int(pool.subnet.network_address))) for end in both)
    return first if first == last else f"{first}-{last}"
