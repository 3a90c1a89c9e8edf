"""The licence texts of everything in the release. Writes them below one folder, a folder for each component."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from components import Component

# Debian's copyright files leave the text of the well-known licences to a folder of the distribution.
COMMON = Path("/usr/share/common-licenses")
REFERENCE = re.compile(rf"{COMMON}/([\w.+-]*\w)")
README = """The licences of what this release holds, a folder for each component. ../sbom.cdx.json lists the components
with the exact versions of the packages that they come from; these packages' sources are where their publishers keep
them (Debian: https://snapshot.debian.org).

All components are as their publishers built them, with two changes: symbol tables are stripped, and in the C library's
dynamic loader (_internal/ld-*) the names of /etc/ld.so.preload and of the default library folders are replaced by names
that do not exist (build/seal_loader.py in our sources). Libraries are files of their own: each can be replaced by
another build of it.
"""


def lacking(components: Iterable[Component]) -> list[Component]:
    """Return the components that come with no licence text, or with one that is not there."""
    return [part for part in components if not part.texts or not all(path.is_file() for path in part.texts.values())]


def write(components: Iterable[Component], folder: Path) -> None:
    """Copy the licence texts into an empty folder, with the common ones that they refer to."""
    common: set[str] = set()
    for component in components:
        for name, source in component.texts.items():
            copy(source, folder / component.name / name)
            common.update(REFERENCE.findall(source.read_text(errors="replace")))
    for name in common:
        copy(COMMON / name, folder / COMMON.name / name)
    (folder / "README").write_text(README)


def copy(source: Path, target: Path) -> None:
    """Copy a file, links followed, without its times."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
