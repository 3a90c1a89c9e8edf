"""Which folders watch writes to, for a unit that lets it write nowhere else. Side effect: reads files and links."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from cni.deadline import Deadline
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import record as records
from cni.installer.conflist.folder import read_folder
from cni.installer.errors import InstallerError
from cni.installer.node.folders import Folders, printable, resolve_folders
from cni.installer.node.host_root import HostRoot

_START = 5.0  # seconds that systemd may take to run a program whose process is there already
_PAUSE = 0.05


def writable_folders(folders: Folders) -> list[str]:
    """Return what the node calls the folders below which watch has to be able to write. InstallerError, OSError.

    They are the parents of the two CNI folders, which may be removed and created again; the same of what these lead to,
    where a link is in their names; the folder of a conflist that is a link itself, or that --conf named elsewhere; and
    the state folder.
    """
    names = [*_parents(folders.root, folders.conf_name), *_parents(folders.root, folders.bin_name)]
    elsewhere = [folders.root.name_of(path) for path in _folders_elsewhere(folders)]
    names += [name for name in elsewhere if name != "/"]  # a unit that may write anywhere would protect nothing
    names.append(folders.root.name_of(folders.state))
    for name in names:
        if printable(name) != name or not name.isprintable():
            raise InstallerError(f"a unit cannot name the folder {printable(name)!r}: give it another name")
    return list(dict.fromkeys(names))


def refused_folders(folders: Folders, process: int) -> list[str]:
    """Return what the node calls the folders that a running watch cannot write to, as it sees them.

    InstallerError: the process has ended.
    """
    root = HostRoot(Path("/proc", str(process), "root"))
    try:
        _await_program(process)
        seen = resolve_folders(root, folders.bin_name, folders.conf_name)
        paths = [seen.conf, seen.bin, seen.state, *_folders_elsewhere(seen)]
        there = [path if path.exists() else path.parent for path in paths]
        return list(dict.fromkeys(seen.name_of(path) for path in there if not os.access(path, os.W_OK | os.X_OK)))
    except (FileNotFoundError, ProcessLookupError):
        if root.path.parent.exists():
            raise
        raise InstallerError(f"watch has ended (it was process {process}): its log says why") from None


def _parents(root: HostRoot, name: str) -> Iterator[str]:
    yield _parent(name)
    yield _parent(root.name_of(root.resolve(name)))
    for step in root.steps(name):
        # A link to its neighbour, such as microk8s' and older k3s' `current`, leads to another neighbour some day.
        if step.is_symlink() and root.follow(step).parent == step.parent:
            yield _parent(root.name_of(step))


def _parent(name: str) -> str:
    """Return the folder that a folder is in; the folder itself where that would be all of the node."""
    parent = str(Path(name).parent)
    return name if parent == "/" else parent


def _folders_elsewhere(folders: Folders) -> Iterator[Path]:
    for file in read_folder(folders):
        if file.path.is_symlink() and file.document and IPAM_TYPE in file.document.ipam_types():
            yield folders.root.follow(file.path).parent
    for path in records.paths(folders, records.read(folders)):
        if path.parent != folders.conf:
            yield path.parent


def _await_program(process: int) -> None:
    """Wait until systemd's child has become the program: from then on it has its own view of the file system."""
    deadline = Deadline(_START)
    while Path("/proc", str(process), "exe").readlink().name.startswith("systemd") and deadline.left():
        time.sleep(_PAUSE)
