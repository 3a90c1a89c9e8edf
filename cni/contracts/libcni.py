"""What libcni caches of each ADD until its DEL, as far as it is read here.

containernetworking/cni libcni/api.go, cachedInfo: one JSON file per attachment. Go writes `[]byte` as base64.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Base64Bytes, Field, TypeAdapter


@dataclass(frozen=True)
class CachedInfo:
    """One attachment."""

    config: Base64Bytes  # the network configuration that ADD was called with
    # Of any type: an attachment that was refused because of its name would be overlooked by uninstall.
    network_name: Annotated[Any, Field(alias="networkName")] = None
    container_id: Annotated[Any, Field(alias="containerId")] = None
    cni_args: Annotated[Any, Field(alias="cniArgs")] = None  # a list of [key, value]


CACHED_INFO = TypeAdapter(CachedInfo)
