"""The bundle that this program runs from. Side effect: reads its SBOM."""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from cni.installer.errors import InstallerError


def tree() -> Path | None:
    """Return the folder with the programs in it; None where this runs from a source tree, which bundles nothing."""
    return Path(sys._MEIPASS).parent if hasattr(sys, "_MEIPASS") else None


def sbom() -> dict[str, Any] | None:
    """Return the release's SBOM; None where this runs from a source tree. InstallerError."""
    folder = tree()
    if folder is None:
        return None
    path = folder / "sbom.cdx.json"
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InstallerError(f"broken bundle, install it again: {path}: {error}") from None
    return document


def version() -> str:
    """Return the version of this program. InstallerError."""
    document = sbom()
    return str(document["metadata"]["component"]["version"]) if document else metadata.version("spiderpool-ipam")
