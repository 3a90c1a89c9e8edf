"""Find the components of the release: Python distributions, Debian packages, CPython, and files of unknown origin.

The search starts from the files that went into the bundle. It reads the metadata of the environment that builds, and
dpkg's database.
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
# Each file that went into the bundle, with links resolved, and its path in the bundle. The path is "" for a Python
# module, because modules are packed into an archive.
BundledFiles = Mapping[Path, str]


@dataclass
class Component:
    """One component of the release."""

    name: str
    version: str
    purl: PackageURL | None = None  # None for a file of unknown origin
    licence: str = ""  # from its metadata, mostly an SPDX expression; "" where only the licence texts say it
    texts: dict[str, Path] = field(default_factory=dict)  # its licence texts, by file name
    sboms: list[Path] = field(default_factory=list)  # the SBOMs that it ships of what is linked into it
    places: list[str] = field(default_factory=list)  # the paths of its libraries in the bundle


def find_components(files: BundledFiles, bundle: Path) -> list[Component]:
    """Return the components that the files came from, sorted by name; `bundle` is the folder that holds the files."""
    distributions, packages = distribution_files(), debian_packages.find_owners(files)
    found = {"CPython": cpython_component()}
    for source, place in files.items():
        if source in distributions:
            component = distribution_component(distributions[source])
        elif source in packages:
            component = package_component(packages[source])
        elif belongs_to_cpython(source):
            component = found["CPython"]
        elif belongs_to_project(source):
            continue
        else:
            component = file_component(bundle, place or source.name)
        found.setdefault(component.name, component)
        component.places += [place] if place else []
    return sorted(found.values(), key=lambda component: component.name.lower())


def distribution_files() -> dict[Path, metadata.Distribution]:
    """Return the installed Python distribution that each file belongs to."""
    return {
        Path(os.path.realpath(str(distribution.locate_file(file)))): distribution
        for distribution in metadata.distributions()
        for file in distribution.files or ()
    }


@functools.cache
def distribution_component(distribution: metadata.Distribution) -> Component:
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
    """Return the licence that the metadata names: as SPDX expression, else as free text, else by its classifiers."""
    for key in ("License-Expression", "License"):
        text = " ".join(distribution.metadata.get_all(key) or ())
        if text and "\n" not in text:
            return text
    classifiers = distribution.metadata.get_all("Classifier") or ()
    names = [name.rpartition(" :: ")[2] for name in classifiers if name.startswith("License :: OSI Approved ::")]
    return ", ".join(names)


@functools.cache
def package_component(owner: str) -> Component:
    """Return an installed Debian package as a component."""
    package = debian_packages.describe(owner)
    return Component(package.name, package.version, package.purl, texts={"copyright": package.copyright})


def cpython_component() -> Component:
    """Return the interpreter as a component; its standard library and libpython may be Debian packages as well."""
    text = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    purl = PackageURL("generic", name="cpython", version=python_version())
    return Component("CPython", python_version(), purl, "Python-2.0.1", {"LICENSE.txt": text})


def belongs_to_cpython(source: Path) -> bool:
    """Tell whether a file is part of the interpreter's standard library, or is libpython."""
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    return source.is_relative_to(stdlib) or source.name == sysconfig.get_config_var("INSTSONAME")


def belongs_to_project(source: Path) -> bool:
    """Tell whether a file belongs to this project, or was made by its build."""
    return source.is_relative_to(ROOT / "cni") or source.is_relative_to(ROOT / "dist")


def file_component(bundle: Path, place: str) -> Component:
    """Return a file that no distribution and no package owns as a component, with its SHA-256 as version."""
    digest = hashlib.sha256((bundle / place).read_bytes()).hexdigest()
    return Component(Path(place).name, f"sha256:{digest}")
