"""The two launchers of a bundle: the only files of it that others overwrite. Side effect: mends one by the other.

cp follows <bin>/spiderpool into the bundle. The launchers are compared with SHA256SUMS and not with each other, because
the one that differs need not be the wrong one. They are small; of all other files it is seen here that they are there.
"""

import os
from pathlib import Path

from cni.defaults import IPAM_TYPE
from cni.installer.bundle import sums
from cni.installer.bundle.sums import SumsError
from cni.installer.bundle.tree import replace

PLUGIN = IPAM_TYPE  # a runtime looks for the file that ipam.type names
OPERATOR = "spiderpool-ipam"  # the operator program's: the same bytes as the plugin's
_TWINS = {PLUGIN: OPERATOR, OPERATOR: PLUGIN}


def missing(bundle: Path) -> str:
    """Say which file a bundle lacks, but for the launchers, "" for none: nothing can run then. OSError."""
    try:
        listed = sums.read(bundle)
        sums.require_files(bundle, {name: digest for name, digest in listed.items() if name not in _TWINS})
    except SumsError as error:
        return str(error)
    return ""


def wrong(bundle: Path) -> list[str]:
    """Return the launchers that are missing or other programs. SumsError, OSError."""
    listed = sums.read(bundle)
    return [name for name in _TWINS if not _is_right(bundle / name, listed.get(name))]


def mend(bundle: Path) -> str:
    """Put a copy of a right launcher in the place of a wrong one; say what is wrong after that. SumsError, OSError."""
    found = wrong(bundle)
    for name in found:
        if _TWINS[name] not in found:
            replace(bundle / _TWINS[name], bundle / name)
    left = wrong(bundle) if found else []
    return f"{left[0]} does not hold what {sums.NAME} says" if left else ""


def _is_right(launcher: Path, digest: str | None) -> bool:
    return launcher.is_file() and os.access(launcher, os.X_OK) and sums.sha256(launcher) == digest
