"""SHA256SUMS: which files a release has, and what they hold. Side effect: reads files.

It is made with the release (build/freeze.sh) and installed with it. It is what a release is compared with before it is
installed, and afterwards: another file on the same node may be as damaged as the one that it is compared with.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cni.installer.errors import InstallerError
from cni.installer.node.folders import printable

NAME = "SHA256SUMS"
_MOST = 2**20  # bytes of SHA256SUMS; a release's has some 14,000
_CHUNK = 2**20  # bytes that are read at once, and so what is read until `stop` is asked again
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_LARGEST = 2**30  # bytes of a file; a release's have 40 MB together
_OF_NOTHING = hashlib.sha256().hexdigest()

Stop = Callable[[], bool]


def never() -> bool:
    """Tell to go on: the `stop` of those who wait for the end."""
    return False


class SumsError(InstallerError):
    """The files are not those of SHA256SUMS: which one, and why. What to do is for the caller to say."""


class StoppedError(Exception):
    """`stop` has told to end."""


def check(tree: Path, stop: Stop) -> dict[str, str]:
    """Compare all files of a release with SHA256SUMS, and return that: names and SHA-256. SumsError, OSError.

    StoppedError: `stop` returned True; it is asked before each MiB is read.
    """
    listed = read(tree)
    require_files(tree, listed)
    for name in sorted(set(_names(tree)) - set(listed) - {NAME}):
        raise SumsError(f"{printable(name)} is not of this release")
    for name, digest in listed.items():
        _require_inside(tree, name)
        if sha256(tree / name, stop) != digest:
            raise SumsError(f"{name} does not hold what {NAME} says")
    return listed


def require_files(tree: Path, listed: Mapping[str, str]) -> None:
    """Raise SumsError where one of these is missing, no file, or of no possible size. It reads no file. OSError."""
    for name, digest in listed.items():
        try:
            status = (tree / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            raise SumsError(f"{name} is missing") from None
        if not stat.S_ISREG(status.st_mode):
            raise SumsError(f"{name} is no file")
        if not status.st_size and digest != _OF_NOTHING:
            raise SumsError(f"{name} is empty")
        if status.st_size > _LARGEST:
            raise SumsError(f"{name} has {status.st_size} bytes")


def read(tree: Path) -> dict[str, str]:
    """Return the names and the SHA-256 that SHA256SUMS lists. SumsError, OSError."""
    try:
        descriptor = os.open(tree / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise SumsError(f"{NAME} is missing") from None
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SumsError(f"{NAME} is no file")
        data = file.read(_MOST)
    try:
        return dict(_entry(line) for line in data.decode().splitlines())
    except UnicodeDecodeError:
        raise SumsError(f"{NAME} is damaged") from None


def sha256(path: Path, stop: Stop = never) -> str:
    """Return the SHA-256 of a file's contents. StoppedError, OSError."""
    total = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while not stop():
            data = file.read(_CHUNK)
            if not data:
                return total.hexdigest()
            total.update(data)
    raise StoppedError


def _entry(line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if not match:
        raise SumsError(f"{NAME} is damaged")
    name = match[2]
    if name.startswith("/") or ".." in name.split("/"):
        raise SumsError(f"{NAME} is damaged: it names {name}, which is outside of the release")
    return name, match[1]


def _require_inside(tree: Path, name: str) -> None:
    """Raise SumsError where a link leads out of the release: what it leads to is neither copied nor kept."""
    path = tree / name
    if path.is_symlink() and (path.readlink().is_absolute() or not path.resolve().is_relative_to(tree.resolve())):
        raise SumsError(f"{name} leads out of the release")


def _names(tree: Path) -> Iterator[str]:
    """Yield the names of all that is no folder, links to folders included."""
    for folder, folders, files in os.walk(tree, onerror=_raise):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        yield from (str((here / name).relative_to(tree)) for name in files + links)


def _raise(error: OSError) -> None:
    raise error
