"""What Helm sends and wants as protobuf: the Secret with a release, options of a deletion, and schemas. Pure.

Kubernetes' protobuf: the bytes `k8s` and 0, and then runtime.Unknown, which holds the kind and the object. The numbers
are those of generated.proto of k8s.io/api/core/v1 and of k8s.io/apimachinery.
"""

import base64
from collections.abc import Iterator

from tests.lab.kube_api.objects import Object
from tests.lab.kube_api.status_errors import unsupported_media_type

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
# A document with a version and without schemas: clients let pass what has none.
OPENAPI_MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
OPENAPI_V2 = b"\x0a\x032.0"
_MAGIC = b"k8s\0"
_METADATA = {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}
_METADATA_MAPS = {11: "labels", 12: "annotations"}


def read(content: bytes) -> Object:
    """Return the object. StatusError: it is of another kind; ValueError or IndexError: it is damaged."""
    if not content.startswith(_MAGIC):
        raise ValueError("the body does not begin as protobuf of Kubernetes does")
    unknown = dict(_fields(content.removeprefix(_MAGIC)))
    kinds = dict(_fields(unknown[1]))
    kind = kinds[2].decode()
    if kind == "DeleteOptions":
        return {}
    if kind != "Secret":
        raise unsupported_media_type(f"{MEDIA_TYPE} with a {kind}")
    return {"apiVersion": kinds[1].decode(), "kind": kind, **_secret(unknown[2])}


def _secret(content: bytes) -> Object:
    secret: Object = {"metadata": {}, "data": {}}
    for number, value in _fields(content):
        if number == 1:
            secret["metadata"] = _metadata(value)
        elif number == 2:
            name, data = _entry(value)
            secret["data"][name] = base64.b64encode(data).decode()
        elif number == 3:
            secret["type"] = value.decode()
    return secret


def _metadata(content: bytes) -> Object:
    metadata: Object = {}
    for number, value in _fields(content):
        if number in _METADATA and value:
            metadata[_METADATA[number]] = value.decode()
        elif number in _METADATA_MAPS:
            name, text = _entry(value)
            metadata.setdefault(_METADATA_MAPS[number], {})[name] = text.decode()
    return metadata


def _entry(content: bytes) -> tuple[str, bytes]:
    """Return the key and the value of an entry of a map."""
    entry = dict(_fields(content))
    return entry.get(1, b"").decode(), entry.get(2, b"")


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each field that has bytes; numbers are left out."""
    place = 0
    while place < len(content):
        key, place = _number(content, place)
        wire = key & 7
        if wire == 0:
            _, place = _number(content, place)
        elif wire == 2:
            size, place = _number(content, place)
            yield key >> 3, content[place : place + size]
            place += size
        else:
            raise ValueError(f"a field of wire type {wire}")


def _number(content: bytes, place: int) -> tuple[int, int]:
    """Return a varint, and the place after it."""
    number = shift = 0
    while True:
        byte = content[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number, place
