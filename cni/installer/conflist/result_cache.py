"""Which attachments there are, and which IPAM plugin made each. Side effect: reads libcni's cache.

libcni keeps the network configuration of each ADD until its DEL (contracts/libcni.py).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cni.contracts.libcni import CACHED_INFO
from cni.installer.conflist.document import read_document


class CachedAttachment(NamedTuple):
    """One attachment, as far as its file in the cache tells."""

    path: Path  # its file in the cache
    made: float  # Unix seconds of its ADD
    network: str  # "" where the file names none
    ipam_types: set[str]


def read(folder: Path) -> Iterator[CachedAttachment]:
    """Yield the attachments. Files that are something else, or still being written, are left out."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            cached = CACHED_INFO.validate_json(path.read_bytes())
            ipam_types = read_document(cached.config.decode()).ipam_types()
            network = cached.network_name if isinstance(cached.network_name, str) else ""
            yield CachedAttachment(path, path.stat().st_mtime, network, ipam_types)
        except (OSError, ValueError):
            continue
