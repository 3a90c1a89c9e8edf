"""Reads the pools from SpiderIPPool manifests and refuses wrong ones. Side effect: reads the files.

A pool hands out exactly `ips` minus `excludeIPs`. A network or broadcast address is handed out if it is listed; a
gateway that is listed and not excluded is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from cni import input_file
from cni.agent.leases import LeaseRoute
from cni.agent.ranges import Range, intersect, merge, subtract
from cni.contracts import faults
from cni.contracts.ippool import AddressRange, IpPoolSpec, Network, SpiderIpPool

_MANIFEST = TypeAdapter(SpiderIpPool)
# `kubectl get -o yaml` also prints `status`, which the operator did not write.
_KNOWN_FIELDS = SpiderIpPool.__annotations__.keys() | {"status"}
_KIND = "SpiderIPPool"
_GROUP = "spiderpool.spidernet.io/"
# A kind of SpiderPool's group that is none of these is taken for a misspelt one.
_OTHER_KINDS = {
    "SpiderClaimParameter",
    "SpiderCoordinator",
    "SpiderEndpoint",
    "SpiderMultusConfig",
    "SpiderReservedIP",
    "SpiderSubnet",
}
_PIPE_TIMEOUT = 5.0  # seconds for `--pool <(…)` to be written


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
    """Read every manifest in the files and folders, call `warn` for what is left out or changed; raise PoolError."""
    pools: list[Pool] = []
    for file in [file for path in paths for file in _files(path)]:
        for where, document in _manifests(file, warn):
            pool = _pool(file, where, document, warn)
            _refuse_overlap(pool, pools, where)
            pools.append(pool)
    if not pools:
        raise PoolError(f"{', '.join(map(str, paths))}: no SpiderIPPool in it")
    return pools


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        return sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml", ".json"))
    except OSError as error:
        raise PoolError(f"{path}: {error.strerror}") from None


def _manifests(file: Path, warn: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
    """Yield each SpiderIPPool, also those in lists, after the text that names it in an error."""
    for where, document in _documents(file):
        for place, item in _items(where, document):
            if _is_of_another_kind(item):
                more = ": exclude its addresses with spec.excludeIPs" if item["kind"] == "SpiderReservedIP" else ""
                warn(f"{place}: {item['kind']} ({item['apiVersion']}) is not read{more}")
            else:
                yield place, item


def _items(where: str, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a list, as `kubectl get -o yaml` and the API server make one; else the document itself."""
    kind, version = (document.get("kind"), document.get("apiVersion")) if isinstance(document, dict) else ("", "")
    if (kind, version) != ("List", "v1") and not (kind == f"{_KIND}List" and str(version).startswith(_GROUP)):
        yield where, document
        return
    items = document.get("items")
    if not isinstance(items, list | None):
        raise PoolError(f"{where}: items: is no list")
    for index, item in enumerate(items or ()):
        # The API server leaves out what all items of a list are.
        filled = {"kind": _KIND, "apiVersion": version, **item} if kind != "List" and isinstance(item, dict) else item
        if isinstance(filled, dict) and str(filled.get("kind")).endswith("List"):
            raise PoolError(f"{where}: items[{index}]: is a list in a list")
        yield f"{where}: items[{index}]", filled


def _is_of_another_kind(document: Any) -> bool:
    """Tell whether this is an object of Kubernetes that has nothing to do with pools, as they stand in one file."""
    kind, version = (document.get("kind"), document.get("apiVersion")) if isinstance(document, dict) else (None, None)
    if not isinstance(kind, str) or not isinstance(version, str) or not kind or not version:
        return False
    return kind.removesuffix("List") in _OTHER_KINDS if version.startswith(_GROUP) else kind != _KIND


def _documents(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield each document, after the text that names it in an error."""
    try:
        documents = list(yaml.safe_load_all(input_file.read(file, pipe_timeout=_PIPE_TIMEOUT)))
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
    for field, given, network in _networks(document["spec"], spec):
        if ip_interface(given).ip != network.network_address:
            warn(f"{where}: {field}: {given} has host bits, {network} is taken")
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


def _networks(given: Any, spec: IpPoolSpec) -> Iterator[tuple[str, str, Network]]:
    """Yield each network of a manifest: its field, its text, and what it was read as."""
    yield "spec.subnet", given["subnet"], spec["subnet"]
    for index, route in enumerate(spec.get("routes") or ()):
        yield f"spec.routes[{index}].dst", given["routes"][index]["dst"], route["dst"]


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
