"""What libcni keeps of each ADD until its DEL. Side effect: reads the folder.

containernetworking/cni libcni/api.go, cachedInfo: one JSON file per attachment, the configuration in base64.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cni.installer.conflist.document import ipam_types


class Entry(NamedTuple):
    """One attachment."""

    path: Path
    made: float  # Unix seconds of its ADD
    network: str
    ipam_types: set[str]


def read(folder: Path) -> Iterator[Entry]:
    """Yield the attachments that can be read; others' files, and what is being written, are left out."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            cached = json.loads(path.read_bytes())
            configuration = base64.b64decode(cached["config"]).decode()
            yield Entry(path, path.stat().st_mtime, str(cached.get("networkName")), ipam_types(configuration))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
