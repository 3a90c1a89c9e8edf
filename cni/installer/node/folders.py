"""The folders of one node, as they are at one moment. Side effect: reads links."""

from pathlib import Path
from typing import NamedTuple

from cni.defaults import RESULT_CACHE_FOLDER, STATE_FOLDER
from cni.installer.node.host_root import HostRoot


class Folders(NamedTuple):
    """The folders of a node: what the node calls them, and where this process reaches them, links followed.

    The names stay. The paths are right for one look: the links in microk8s' names lead elsewhere after each refresh.
    """

    root: HostRoot
    bin_name: str
    conf_name: str
    bin: Path  # the plugins
    conf: Path  # the network configurations
    state: Path  # the lock, the names of the folders, the pending releases
    results: Path  # libcni's cache

    def resolve_again(self) -> "Folders":
        """Return the same names with their links followed anew."""
        return resolve_folders(self.root, self.bin_name, self.conf_name)

    def name_of(self, path: Path) -> str:
        """Return what the node's own processes call a path. Bytes that are not UTF-8 are escaped."""
        for folder, name in ((self.bin, self.bin_name), (self.conf, self.conf_name)):
            if path.is_relative_to(folder):
                return printable(Path(name) / path.relative_to(folder))
        return printable(self.root.name_of(path))


def resolve_folders(root: HostRoot, bin_name: str, conf_name: str) -> Folders:
    """Return the folders of these names, with their links followed."""
    paths = (root.resolve(name) for name in (bin_name, conf_name, STATE_FOLDER, RESULT_CACHE_FOLDER))
    return Folders(root, bin_name, conf_name, *paths)


def is_removed(path: Path) -> bool:
    """Tell whether a folder, or the one that it would be in, was removed, and is still seen because it is mounted.

    A container sees the folder that was there when it started, and not another one that has got its name. OSError.
    """
    there = next(one for one in (path, *path.parents) if one.exists())
    return there.stat().st_nlink == 0


def printable(name: str | Path) -> str:
    """Return a name with the bytes that are not UTF-8 escaped."""
    return str(name).encode(errors="surrogateescape").decode(errors="backslashreplace")
