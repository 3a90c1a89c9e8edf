"""Which Debian packages files came with, by dpkg's database. Reads it through dpkg-query; without that, none did.

purl: https://github.com/package-url/purl-spec, type "deb"; `upstream` names the source package, which security trackers
go by.
"""

import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from packageurl import PackageURL


class Package(NamedTuple):
    """One installed package."""

    name: str
    version: str
    architecture: str
    source: str

    @property
    def copyright(self) -> Path:
        """Where its licence texts are, as Debian's policy (12.5) wants it."""
        return Path("/usr/share/doc", self.name, "copyright")

    @property
    def purl(self) -> PackageURL:
        """Its package URL."""
        system = platform.freedesktop_os_release()
        distro = "-".join(filter(None, (system["ID"], system.get("VERSION_ID"))))
        upstream = {"upstream": self.source} if self.source != self.name else {}
        qualifiers = {"arch": self.architecture, "distro": distro, **upstream}
        return PackageURL("deb", system["ID"], self.name, self.version, qualifiers)


def owners(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the package that each file came with, as dpkg-query takes it; files that are no package's are left out."""
    asked = {spelling: path for path in paths for spelling in spellings(path)}
    if not asked or not shutil.which("dpkg-query"):
        return {}
    lines = [line.rpartition(": ") for line in query("--search", *asked) if not line.startswith("diversion ")]
    return {asked[path]: packages.split(", ")[0] for packages, _, path in lines if path in asked}


def spellings(path: Path) -> list[str]:
    """Return how dpkg may know a file: where /lib is a link to /usr/lib, packages may still name it by /lib."""
    return [str(path), str(path).removeprefix("/usr")]


def describe(package: str) -> Package:
    """Return what dpkg knows about an installed package."""
    form = r"${Package}\t${Version}\t${Architecture}\t${source:Package}"
    (line,) = query("--show", "--showformat", form, package)
    return Package(*line.split("\t"))


def query(*arguments: str) -> list[str]:
    """Run dpkg-query and return its lines. Its status is 1 where a single file of many is no package's."""
    command = ["dpkg-query", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
