"""Copy a tree of files to another place, as a whole and durably. Side effects: the files of the copy."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cni.installer.bundle.sums import sha256
from cni.installer.errors import InstallerError
from cni.installer.node.atomic_file import sync_folder

_NO_MODES = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}  # of a file system that has no modes


def digest(tree: Path, known: Mapping[str, str] | None = None) -> str:
    """Return the SHA-256 of a tree: names, whether they are executable, contents.

    `known` has the SHA-256 of contents by name; files that are not in it are read. OSError.
    """
    total = hashlib.sha256()
    for path in _files(tree):
        name = str(path.relative_to(tree))
        total.update(f"{name}\0{_is_executable(path)} {(known or {}).get(name) or sha256(path)}\n".encode())
    return total.hexdigest()


def require_space(tree: Path, folder: Path) -> None:
    """Raise InstallerError where a copy of the tree has no room in a folder's file system."""
    needed = sum(path.stat().st_size for path in _files(tree))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InstallerError(f"{folder} has {free // 2**20} MiB left, the bundle takes {needed // 2**20}: make room")


def install_tree(tree: Path, folder: Path) -> None:
    """Copy the tree to its folder, as a whole or not at all; repair a folder that is there. OSError."""
    if not _is_real(folder):
        folder.unlink(missing_ok=True)  # a link, or a file
    if folder.exists():
        _repair(tree, folder)
        return
    new = folder.with_name(f".new-{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    try:
        _copy_tree(tree, new)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def replace(source: Path, target: Path) -> None:
    """Put a copy of a file in the place of another, which may be in use. OSError leaves the old one."""
    new = target.with_name(f".new-{target.name}")
    try:
        _copy(source, new)
        new.rename(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def remove_folders(home: Path, keep: set[str]) -> None:
    """Remove the folders in `home`, and the files that are about one, but for these names, as far as possible."""
    for path in home.iterdir():
        if _is_real(path) and path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.with_name(f"{path.name}.no-image").unlink()


def remove(folder: Path, first: str) -> list[str]:
    """Remove a folder, and `first` before all else in it; of a link only the link. Say what was done. OSError."""
    if folder.is_symlink():
        # Release 0.1.0 was installed through such a link. What it leads to may have more in it than that.
        left = folder.readlink()
        folder.unlink()
        done = f"{folder.name} is removed: it was a symbolic link to {left}, which is left for you to remove"
    elif folder.is_dir():
        with suppress(FileNotFoundError, IsADirectoryError):
            (folder / first).unlink()
        shutil.rmtree(folder)
        done = f"{folder.name} is removed"
    else:
        return []
    sync_folder(folder.parent)
    return [done]


def open_to_all(folder: Path) -> None:
    """Have everybody read a folder, and only its owner write to it, whatever the umask is. OSError."""
    if stat.S_IMODE(folder.stat().st_mode) != 0o755:
        _set_mode(folder, 0o755)


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _is_real(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file())


def _folders(tree: Path) -> list[Path]:
    return [tree, *(path for path in tree.rglob("*") if _is_real(path))]


def _copy_tree(tree: Path, new: Path) -> None:
    for path in _files(tree):
        target = new / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(path, target)
    for folder in _folders(new):
        open_to_all(folder)
        sync_folder(folder)


def _repair(tree: Path, folder: Path) -> None:
    """Make a folder equal to the tree, file by file: it may be in use, so no file may ever be missing."""
    right = [path.relative_to(tree) for path in _files(tree)]
    _remove_others(folder, set(right))
    for name in right:
        if not _is_same(tree / name, folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace(tree / name, folder / name)
    for path in _folders(folder):
        open_to_all(path)


def _remove_others(folder: Path, right: set[Path]) -> None:
    """Remove what is not of the tree, or is a folder in the place of a file, or anything else in that of a folder."""
    folders = {parent for name in right for parent in name.parents}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name in (folders if _is_real(path) else right):
            continue
        if _is_real(path):
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _is_same(source: Path, target: Path) -> bool:
    if not os.path.lexists(target) or source.is_symlink() != target.is_symlink():
        return False
    if source.is_symlink():
        return source.readlink() == target.readlink()
    status = target.stat()
    is_right_kind = stat.S_ISREG(status.st_mode) and not status.st_mode & 0o022  # that others may not write
    return is_right_kind and _content(source) == _content(target)


def _content(path: Path) -> tuple[bool, str]:
    return _is_executable(path), sha256(path)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, durably. Of its attributes only whether it is executable is copied. Links stay links."""
    target.unlink(missing_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    shutil.copyfile(source, target)
    _set_mode(target, 0o755 if _is_executable(source) else 0o644)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_mode(path: Path, mode: int) -> None:
    try:
        path.chmod(mode)
    except OSError as error:
        if error.errno not in _NO_MODES:
            raise
