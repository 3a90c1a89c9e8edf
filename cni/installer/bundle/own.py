"""The bundle that this program runs from. Side effect: reads its SBOM."""

import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cni.installer.errors import InstallerError, first_fault

if TYPE_CHECKING:
    from cni.contracts.sbom import Sbom


def tree() -> Path | None:
    """Return the folder with the programs in it; None where this runs from a source tree, which bundles nothing."""
    return Path(sys._MEIPASS).parent if hasattr(sys, "_MEIPASS") else None


def sbom() -> "Sbom | None":
    """Return the release's SBOM; None where this runs from a source tree. InstallerError."""
    folder = tree()
    if folder is None:
        return None
    from pydantic import ValidationError

    from cni.contracts.sbom import SBOM

    path = folder / "sbom.cdx.json"
    try:
        return SBOM.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        fault = error.strerror
    except ValidationError as error:
        fault = first_fault(error)
    raise InstallerError(f"broken bundle, install it again: {path}: {fault}")


def version() -> str:
    """Return the version of this program. InstallerError."""
    document = sbom()
    return document.metadata.component.version if document else metadata.version("spiderpool-ipam")
