"""What libcni keeps of each ADD until its DEL. Side effect: reads the folder.

containernetworking/cni libcni/api.go, cachedInfo: one JSON file per attachment, the configuration in base64.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


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
            configuration = json.loads(base64.b64decode(cached["config"]))
            yield Entry(path, path.stat().st_mtime, str(cached.get("networkName")), ipam_types(configuration))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue


def ipam_types(configuration: Any) -> set[str]:
    """Return the types of the IPAM plugins that a network configuration (list) names."""
    plugins = configuration.get("plugins", [configuration]) if isinstance(configuration, dict) else []
    ipams = [plugin.get("ipam") for plugin in plugins if isinstance(plugin, dict)] if isinstance(plugins, list) else []
    return {str(ipam.get("type")) for ipam in ipams if isinstance(ipam, dict)}
