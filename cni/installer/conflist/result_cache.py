"""Which attachments there are, and which IPAM plugin made each. Side effect: reads libcni's cache.

libcni keeps the network configuration of each ADD until its DEL (contracts/libcni.py).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cni.contracts.libcni import CACHED_INFO
from cni.installer.conflist.document import read_document


class CachedAttachment(NamedTuple):
    """One attachment, as far as its file in the cache tells. What the file does not tell is ""."""

    path: Path  # its file in the cache
    made: float  # Unix seconds of its ADD
    network: str
    pod: str  # namespace/name
    container_id: str
    ipam_types: set[str]


def read(folder: Path) -> Iterator[CachedAttachment]:
    """Yield the attachments. Files that are something else, or cannot be read, are left out."""
    for path in _files(folder):
        try:
            cached = CACHED_INFO.validate_json(path.read_bytes())
            ipam_types = read_document(cached.config.decode()).ipam_types()
            made = path.stat().st_mtime
        except (OSError, ValueError):
            continue
        pod = _pod(cached.cni_args)
        yield CachedAttachment(path, made, _text(cached.network_name), pod, _text(cached.container_id), ipam_types)


def unreadable(folder: Path) -> list[Path]:
    """Return the files that are cut or damaged, so that they may be of any attachment. What is gone meanwhile is none.

    libcni writes its files in place, so one that is being written is among them.
    """
    found = []
    for path in _files(folder):
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError):
            found.append(path)
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _pod(cni_args: Any) -> str:
    pairs = cni_args if isinstance(cni_args, list) else []
    args = {
        pair[0]: pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
    }
    names = [_text(args.get(key)) for key in ("K8S_POD_NAMESPACE", "K8S_POD_NAME")]
    return "/".join(filter(None, names))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
