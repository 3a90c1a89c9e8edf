"""What libcni caches of each ADD until its DEL, as far as it is read here.

containernetworking/cni libcni/api.go, cachedInfo: one JSON file per attachment. Go writes `[]byte` as base64.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Base64Bytes, Field, TypeAdapter


@dataclass(frozen=True)
class CachedInfo:
    """One attachment."""

    config: Base64Bytes  # the network configuration that ADD was called with
    network_name: Annotated[str, Field(alias="networkName")] = ""


CACHED_INFO = TypeAdapter(CachedInfo)
