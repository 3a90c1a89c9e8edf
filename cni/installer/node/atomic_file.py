"""Replace a file so that a reader finds the old one or the new one as a whole, also after a power cut, and so that
nothing is lost of what others write into the old one meanwhile.

Others write in place, so their last look at the name and our rename can cross. Therefore the new file and the old one
exchange their names, and the old one is kept under a name of ours until it is sure that nobody has written to it: it is
looked at when it has come out, and again LOOK_AGAIN seconds later, because a writer may still have it open. If it has
changed, it gets its name back. What a killed run has left is told by its name: the digests of what was replaced and of
what was written.

Side effects: the file, and others beside it. Their names begin with a dot and do not end in .conf, .conflist or .json,
so that no runtime loads them. One process at a time may call these functions for a folder: see lock.py.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cni.installer.node.exchange import exchange, rename_to_new
from cni.installer.node.file_metadata import UNSUPPORTED, take_after, where_supported

LOOK_AGAIN = 1.0  # seconds until it is taken for sure that no writer has the old file open any more

PREFIX = ".spiderpool-ipam."  # of every file that is kept beside those that are replaced
_NEW = PREFIX + "{name}.new"  # being written
_KEPT = PREFIX + "{name}.{seen}.{replaced}.{written}.kept"
_PATTERN = re.compile(r"\.spiderpool-ipam\.(.+)\.(\d+)\.([0-9a-f]{12})\.([0-9a-f]{12})\.kept", re.DOTALL)


class ChangedError(Exception):
    """Somebody has written a file since it was read."""


class _Kept(NamedTuple):
    """What came out of an exchange; or, if the run was killed before, the new file."""

    path: Path
    name: str  # the file's own
    seen: int  # when it was looked at first, in Unix nanoseconds; 0 if it was not yet
    replaced: str  # the digest of what was read of the old file
    written: str  # the digest of the new one


def replace(path: Path, data: bytes, mode: int = 0o600, instead_of: bytes | None = None) -> None:
    """Write `data` in the place of a file, or of what a symbolic link leads to. OSError: the old one stays.

    Mode, owner and extended attributes are the old file's; `mode` is for a new one. With `instead_of`, the old file is
    kept until `settle` removes it. ChangedError: the file did not hold `instead_of` any more; it holds what others
    wrote.
    """
    with _naming(path):
        path = path.resolve()
        if instead_of is None:
            new = _written(path, data, mode)
            with _removed_on_error(new):
                new.rename(path)
            sync_folder(path.parent)
        else:
            _settle(path)
            _exchange(path, _written(path, data, mode), _digest(instead_of), _digest(data))
            _settle(path)


def create(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that is not there yet. ChangedError: there is one by now. OSError."""
    with _naming(path):
        new = _written(path, data, mode)
        with _removed_on_error(new):
            try:
                rename_to_new(new, path)
            except FileExistsError:
                raise ChangedError from None
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                _require(path, "")
                new.rename(path)
        sync_folder(path.parent)


def remove(path: Path, instead_of: bytes | None = None) -> None:
    """Remove a file for good; one that is missing is no error. ChangedError: it does not hold `instead_of` any more."""
    if instead_of is not None and _digest_of(path) not in ("", _digest(instead_of)):
        raise ChangedError
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def settle(folder: Path) -> float:
    """Look again at what is kept in a folder; remove what a killed run has left half-written.

    Return in how many seconds to look again, 0 where nothing is kept any more. ChangedError: others have changed what
    was kept, and it has its name back, unless what has the name by now was written later. OSError.
    """
    entries = list(folder.iterdir()) if folder.is_dir() else []
    for path in entries:
        if path.name.startswith(_NEW.partition("{")[0]) and path.suffix == Path(_NEW).suffix:
            path.unlink(missing_ok=True)
    return max((_settle(folder / name) for name in {kept.name for kept in _kept(entries)}), default=0.0)


def sync_folder(folder: Path) -> None:
    """Write the folder's entries to disk: a rename is durable only after that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with where_supported():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in errors of calls on a descriptor."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str):  # there is none, or a descriptor
            error.filename = str(path)
        raise


@contextmanager
def _removed_on_error(new: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _written(path: Path, data: bytes, mode: int) -> Path:
    """Write the new file beside the old one, with its metadata, to disk; return its path."""
    new = path.with_name(_NEW.format(name=path.name))
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with _removed_on_error(new):
            while data:
                data = data[os.write(descriptor, data) :]
            take_after(descriptor, path, mode)
            with where_supported():
                os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return new


def _exchange(path: Path, new: Path, replaced: str, written: str) -> None:
    kept = path.with_name(_KEPT.format(name=path.name, seen=0, replaced=replaced, written=written))
    try:
        with _removed_on_error(new):
            new.rename(kept)  # a name that tells that it is complete, and what it is
        _require(path, replaced)
        exchange(kept, path)
    except FileNotFoundError:
        raise ChangedError from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _require(path, replaced)
        kept.rename(path)
    finally:
        if _digest_of(kept) == written:  # it has not become the old one
            kept.unlink()
    sync_folder(path.parent)


def _settle(path: Path) -> float:
    """Do what `settle` does, for one file."""
    entries = [kept for kept in _kept(path.parent.iterdir()) if kept.name == path.name]
    ours = {kept.written for kept in entries}
    rest, is_changed = 0.0, False
    for kept in entries:
        found = _digest_of(kept.path)
        if found == kept.replaced and (left := _wait(kept)):
            rest = max(rest, left)
            continue
        if found not in {"", kept.replaced, kept.written}:
            is_changed = True
            _have_the_later(kept.path, path, ours)
        kept.path.unlink(missing_ok=True)
    if is_changed:
        raise ChangedError
    return rest


def _wait(kept: _Kept) -> float:
    """Return in how many seconds to look again at one that has not changed; at the first look write down the time."""
    now = time.time_ns()
    if not kept.seen and LOOK_AGAIN:
        kept.path.rename(kept.path.with_name(_KEPT.format(**kept._replace(seen=now)._asdict())))
    left = LOOK_AGAIN + ((kept.seen or now) - now) / 1e9
    return left if 0 < left <= LOOK_AGAIN else 0.0  # more: the clock was set back


def _have_the_later(kept: Path, path: Path, ours: set[str]) -> None:
    """Have the name lead to what others have written last; `ours` are the digests of what we have written."""
    while _is_later(kept, path, ours):
        try:
            exchange(kept, path)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            kept.rename(path)
        sync_folder(path.parent)


def _is_later(kept: Path, path: Path, ours: set[str]) -> bool:
    if _digest_of(kept) in {"", *ours}:
        return False
    named = _digest_of(path)
    return named in ours or (named != "" and kept.stat().st_mtime_ns > path.stat().st_mtime_ns)


def _kept(paths: Iterable[Path]) -> list[_Kept]:
    found = [(path, _PATTERN.fullmatch(path.name)) for path in paths]
    return [
        _Kept(path, match[1], int(match[2]), match[3], match[4]) for path, match in found if match and path.is_file()
    ]


def _require(path: Path, digest: str) -> None:
    if _digest_of(path) != digest:
        raise ChangedError


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _digest_of(path: Path) -> str:
    """Return the digest of a file, "" for one that is missing."""
    try:
        return _digest(path.read_bytes())
    except FileNotFoundError:
        return ""
