"""What the release is made of: Python distributions, Debian packages, CPython, and files that nobody knows.

Found from the files that went into it. Reads the metadata of the environment that builds, and dpkg's database.
"""

import functools
import hashlib
import os
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from platform import python_version

import debian_packages
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
LICENCE_TEXT = re.compile(r"(licen[sc]e|copying|notice|authors)", re.IGNORECASE)
# Where files of the bundle came from, links resolved -> their place in the bundle; "" for modules, which are packed.
Files = Mapping[Path, str]


@dataclass
class Component:
    """One part of the release."""

    name: str
    version: str
    purl: PackageURL | None = None  # None: a file that nobody knows
    licence: str = ""  # as its metadata says, an SPDX expression as a rule; "" where only the texts say
    texts: dict[str, Path] = field(default_factory=dict)  # its licence texts by name
    sboms: list[Path] = field(default_factory=list)  # its own lists of what is linked into it
    places: list[str] = field(default_factory=list)  # of its libraries in the bundle


def find(files: Files, bundle: Path) -> list[Component]:
    """Return the components that the files came from, by name; `bundle` is where the files are now."""
    distributions, packages = distribution_files(), debian_packages.owners(files)
    found = {"CPython": cpython()}
    for source, place in files.items():
        if source in distributions:
            component = of_distribution(distributions[source])
        elif source in packages:
            component = of_package(packages[source])
        elif is_cpython(source):
            component = found["CPython"]
        elif is_ours(source):
            continue
        else:
            component = of_file(bundle, place or source.name)
        found.setdefault(component.name, component)
        component.places += [place] if place else []
    return sorted(found.values(), key=lambda component: component.name.lower())


def distribution_files() -> dict[Path, metadata.Distribution]:
    """Return which installed Python distribution each file belongs to."""
    return {
        Path(os.path.realpath(str(distribution.locate_file(file)))): distribution
        for distribution in metadata.distributions()
        for file in distribution.files or ()
    }


@functools.cache
def of_distribution(distribution: metadata.Distribution) -> Component:
    """Return an installed Python distribution as a component."""
    name, version = distribution.metadata["Name"], distribution.version
    component = Component(name, version, PackageURL("pypi", name=name, version=version), licence_of(distribution))
    for file in distribution.files or ():
        place = "/".join(file.parts[1:])
        if not file.parts[0].endswith(".dist-info"):
            continue
        if place.startswith("licenses/") or LICENCE_TEXT.match(place):
            component.texts[place.removeprefix("licenses/")] = Path(str(distribution.locate_file(file)))
        elif place.startswith("sboms/"):
            component.sboms.append(Path(str(distribution.locate_file(file))))
    return component


def licence_of(distribution: metadata.Distribution) -> str:
    """Return what the metadata says: the SPDX expression, else the older free text, else the classifiers' names."""
    for key in ("License-Expression", "License"):
        text = " ".join(distribution.metadata.get_all(key) or ())
        if text and "\n" not in text:
            return text
    classifiers = distribution.metadata.get_all("Classifier") or ()
    names = [name.rpartition(" :: ")[2] for name in classifiers if name.startswith("License :: OSI Approved ::")]
    return ", ".join(names)


@functools.cache
def of_package(owner: str) -> Component:
    """Return an installed Debian package as a component."""
    package = debian_packages.describe(owner)
    return Component(package.name, package.version, package.purl, texts={"copyright": package.copyright})


def cpython() -> Component:
    """Return the interpreter, whose standard library and libpython may be packages of their own besides."""
    text = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    purl = PackageURL("generic", name="cpython", version=python_version())
    return Component("CPython", python_version(), purl, "Python-2.0.1", {"LICENSE.txt": text})


def is_cpython(source: Path) -> bool:
    """Tell whether a file is of the interpreter's standard library, or libpython."""
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    return source.is_relative_to(stdlib) or source.name == sysconfig.get_config_var("INSTSONAME")


def is_ours(source: Path) -> bool:
    """Tell whether a file belongs to this project, or is made by its build."""
    return source.is_relative_to(ROOT / "cni") or source.is_relative_to(ROOT / "dist")


def of_file(bundle: Path, place: str) -> Component:
    """Return a file that no distribution and no package owns as a component: its version is its SHA-256."""
    digest = hashlib.sha256((bundle / place).read_bytes()).hexdigest()
    return Component(Path(place).name, f"sha256:{digest}")
