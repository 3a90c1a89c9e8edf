"""Symbolic links that take a name at once, and what had the name before. Side effects: these files."""

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from cni.installer.node.atomic_file import sync_folder

# What a file system without hard links, or with too many of one file, says.
_NO_HARD_LINKS = {errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EXDEV}


def obstacle(name: Path, home: Path) -> str:
    """Say why a name cannot be a link into the folder `home` beside it, "" where it can."""
    if home.is_symlink():  # it may lead elsewhere where the folder is mounted, and what is there may be others'
        return f"cannot be used, {home} is a symbolic link: put the folder that it leads to in its place, or remove it"
    if os.path.lexists(home) and not home.is_dir():
        return f"cannot be used, {home} is no folder: move it away"
    if home.is_dir() and home.stat().st_dev != name.parent.stat().st_dev:  # nothing can be renamed from there to here
        return f"cannot be used, {home} is on another file system: unmount it"
    return "is a folder: move it away" if _is_folder(name) else ""


def leads_to(link: Path, target: str) -> bool:
    """Tell whether this is a symbolic link with exactly this target."""
    return link.is_symlink() and str(link.readlink()) == target


def flip(link: Path, target: str) -> bool:
    """Have a link lead to `target`, by a rename, so that it is never missing; tell whether it led elsewhere before."""
    if leads_to(link, target):
        return False
    if _is_folder(link):
        shutil.rmtree(link)  # a link cannot be renamed to a folder
    _put(link, target, link.with_name(f".new-{link.name}"))
    return True


def take_name(name: Path, target: str, kept: Path) -> bool:
    """Have a name lead to `target`; keep the other file that had it, and tell whether there was one. OSError."""
    if leads_to(name, target):
        return False
    was_foreign = os.path.lexists(name)
    if was_foreign:
        # It gets a second name before ours takes the first: there is a plugin at each moment.
        _keep(name, kept)
    _put(name, target, kept.with_name(f".new-{name.name}"))
    return was_foreign


def give_back(kept: Path, name: Path) -> bool:
    """Let a file that was kept have its name again; tell whether there was one: a folder is none. OSError."""
    if not os.path.lexists(kept) or _is_folder(kept):
        return False
    try:
        kept.rename(name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(kept, name)
    sync_folder(name.parent)
    return True


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _put(link: Path, target: str, new: Path) -> None:
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)
    sync_folder(link.parent)


def _keep(name: Path, kept: Path) -> None:
    """Give a file a second name, durably. Whoever has just written it need not have synced it."""
    if _is_folder(kept):
        shutil.rmtree(kept)  # nothing of ours
    kept.unlink(missing_ok=True)
    _sync(name)
    try:
        os.link(name, kept, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _copy(name, kept)
    sync_folder(kept.parent)


def _copy(source: Path, target: Path) -> None:
    """Copy a file as a whole, durably, with those of its attributes that the file system has; a link as a link."""
    new = target.with_name(f".new-{target.name}")
    new.unlink(missing_ok=True)
    shutil.copyfile(source, new, follow_symlinks=False)
    status = source.lstat()
    with suppress(OSError):
        os.chown(new, status.st_uid, status.st_gid, follow_symlinks=False)
    with suppress(OSError):
        shutil.copystat(source, new, follow_symlinks=False)
    _sync(new)
    new.rename(target)


def _sync(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        return  # a link is on disk with its folder
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
