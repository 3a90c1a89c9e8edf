"""Copy a tree of files to another place, as a whole and durably. Side effects: the files of the copy."""

import hashlib
import os
import shutil
import stat
from pathlib import Path

from cni.installer.node.atomic_file import sync_folder


def digest(tree: Path) -> str:
    """Return the SHA-256 of a tree: names, whether they are executable, contents."""
    total = hashlib.sha256()
    for path in _files(tree):
        total.update(f"{path.relative_to(tree)}\0{fingerprint(path)}\n".encode())
    return total.hexdigest()


def fingerprint(path: Path) -> str:
    """Return a text that tells whether a file is executable, and the SHA-256 of its contents."""
    return f"{_is_executable(path)} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def size(tree: Path) -> int:
    """Return the bytes that the files of a tree hold."""
    return sum(path.stat().st_size for path in _files(tree))


def install_tree(tree: Path, folder: Path) -> None:
    """Copy the tree to its folder, as a whole or not at all; repair a folder that is there. OSError."""
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


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _others_may_write(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o022)


def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file())


def _copy_tree(tree: Path, new: Path) -> None:
    for path in _files(tree):
        target = new / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(path, target)
    for path in [*(path for path in new.rglob("*") if path.is_dir()), new]:
        path.chmod(0o755)  # whatever the umask
        sync_folder(path)


def _repair(tree: Path, folder: Path) -> None:
    """Make a folder equal to the tree, file by file: it may be in use, so no file may ever be missing."""
    right = {path.relative_to(tree) for path in _files(tree)}
    for path in _files(folder):
        if path.relative_to(folder) not in right:
            path.unlink()
    for name in sorted(right):
        target = folder / name
        if not target.is_file() or fingerprint(target) != fingerprint(tree / name) or _others_may_write(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            replace(tree / name, target)
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]:
        if stat.S_IMODE(path.stat().st_mode) != 0o755:
            path.chmod(0o755)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, durably. Of its attributes only whether it is executable is copied. Links stay links."""
    target.unlink(missing_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    shutil.copyfile(source, target)
    target.chmod(0o755 if _is_executable(source) else 0o644)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
