"""Objects as JSON data: how they are named, copied and read from files. Pure, but for reading files and the clock."""

import copy
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML as JSON would be: a time stays a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def meta(document: Object) -> Object:
    """Return an object's metadata, which is made if there is none."""
    if not isinstance(document.get("metadata"), dict):
        document["metadata"] = {}
    metadata: Object = document["metadata"]
    return metadata


def key_of(document: Object) -> tuple[str, str]:
    """Return the namespace, which is "" for a cluster's object, and the name."""
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def duplicate(document: Any) -> Any:
    return copy.deepcopy(document)


def now(seconds: float = 0) -> str:
    """Return the present time as Kubernetes writes it, or the time some seconds from now."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def parse_yaml(text: str | bytes) -> Iterator[Object]:
    """Yield the objects of a text in YAML or JSON; a List is its items. Raise yaml.YAMLError."""
    for document in yaml.load_all(text, Loader=_Loader):
        if not document:
            continue
        if str(document.get("kind", "")).endswith("List") and "items" in document:
            yield from document["items"] or []
        else:
            yield document


def read_objects(place: Path) -> Iterator[tuple[Path, Object]]:
    """Yield every object of a file, or of the *.yaml, *.yml and *.json files in a folder and below, with its file."""
    for path in [place] if place.is_file() else sorted(place.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            for document in parse_yaml(path.read_text()):
                yield path, document
