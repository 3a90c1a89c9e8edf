"""Find the Debian packages that files came with. Reads dpkg's database through dpkg-query; without it, finds none.

The package URLs follow https://github.com/package-url/purl-spec, type "deb". Their `upstream` names the source package,
because security trackers list source packages.
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
        """The file with its licence texts, where Debian's policy (12.5) puts it."""
        return Path("/usr/share/doc", self.name, "copyright")

    @property
    def purl(self) -> PackageURL:
        """Its package URL."""
        system = platform.freedesktop_os_release()
        distro = "-".join(filter(None, (system["ID"], system.get("VERSION_ID"))))
        upstream = {"upstream": self.source} if self.source != self.name else {}
        qualifiers = {"arch": self.architecture, "distro": distro, **upstream}
        return PackageURL("deb", system["ID"], self.name, self.version, qualifiers)


def find_owners(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the name of the package that each file belongs to; files that belong to none are left out."""
    path_of = {spelling: path for path in paths for spelling in spellings(path)}
    if not path_of or not shutil.which("dpkg-query"):
        return {}
    lines = [line.rpartition(": ") for line in query("--search", *path_of) if not line.startswith("diversion ")]
    return {path_of[path]: packages.split(", ")[0] for packages, _, path in lines if path in path_of}


def spellings(path: Path) -> list[str]:
    """Return the paths under which dpkg may know a file: some packages say /lib where /lib is a link to /usr/lib."""
    return [str(path), str(path).removeprefix("/usr")]


def describe(package: str) -> Package:
    """Return what dpkg knows about an installed package."""
    form = r"${Package}\t${Version}\t${Architecture}\t${source:Package}"
    (line,) = query("--show", "--showformat", form, package)
    return Package(*line.split("\t"))


def query(*arguments: str) -> list[str]:
    """Run dpkg-query and return its lines; the exit status is ignored, as it is 1 if any one file has no package."""
    command = ["dpkg-query", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
