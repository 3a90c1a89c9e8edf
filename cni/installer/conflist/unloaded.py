"""Files that runtimes do not load and that hold our `ipam`: a conflist that somebody has renamed, for example.

They would name a plugin that is not there when they come back. Side effects: reads, writes and removes such files.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cni.contracts.installation import Record
from cni.installer.conflist.copies import Change
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import CILIUMS_SUFFIX, SUFFIXES, ConfFile, Source, names_our_plugin, read_file
from cni.installer.conflist.source import digest, original_ipam
from cni.installer.node import atomic_file
from cni.installer.node.folders import Folders


class Unloaded(NamedTuple):
    """One such file, and what is to become of it."""

    change: Change
    is_swapped_itself: bool  # it is Calico's file, and not a copy of it


def find_unloaded(folders: Folders, record: Record, source: Source | None, *, force: bool) -> list[Unloaded]:
    """Return the files that are to be given back, or removed; `source` is Calico's file, if that is there.

    ConflistError, unless `force`: it is not known what a file has held before. OSError.
    """
    found = []
    for file in _holding_ours(folders, record.desired.plugin_type):
        name = folders.name_of(file.path)
        try:
            after = _without_us(folders, record, source, file)
        except ConflistError:
            if not force:
                raise
            continue
        if after != file.data:
            # A link to elsewhere is removed itself.
            path = file.path if after is None else folders.root.follow(file.path)
            found.append(Unloaded(Change(path, name, file.data, after), _is_swapped_itself(name, file, record)))
    return found


def give_back(change: Change) -> str:
    """Write or remove a file as `find_unloaded` has found it; say what was done. ChangedError, OSError."""
    if change.after is None:
        atomic_file.remove(change.path, instead_of=change.before)
        return f"{change.name}: removed"
    atomic_file.replace(change.path, change.after, instead_of=change.before)
    return f"{change.name}: its original ipam is restored, though runtimes do not load it"


def _holding_ours(folders: Folders, plugin_type: str) -> Iterator[ConfFile]:
    for path in sorted(folders.conf.iterdir()) if folders.conf.is_dir() else []:
        if path.suffix in SUFFIXES or path.name.startswith(atomic_file.PREFIX):
            continue  # what is kept of a file that was replaced has to stay what it was
        file = read_file(folders, path)
        if file and names_our_plugin(file, plugin_type):
            yield file


def _without_us(folders: Folders, record: Record, source: Source | None, file: ConfFile) -> bytes | None:
    """Return what a file is to hold; None where it was our copy. ConflistError."""
    as_name, name = record.desired.as_name, folders.name_of(file.path)
    if _former_name(file.path.name, {*record.copies, *([as_name] if as_name else [])}) or (
        as_name and digest(file.data) == record.written
    ):
        return None
    for delegation in file.delegations(record.desired.plugin_type)[:1]:
        if file.document is None or (as_name and source and source.delegation.network != delegation.network):
            continue
        if held := _former_name(name, record.also):
            original = record.also[held]
        elif not as_name:
            original = original_ipam(folders, Source(file.path, file.document, delegation), record)
        elif source:
            original = original_ipam(folders, source, record)
        else:
            raise ConflistError(
                f"{name}, which runtimes do not load, names spiderpool, and what it held before is not known: edit its"
                " ipam or remove it, and uninstall again, or uninstall with --force"
            )
        return file.document.with_ipam(delegation, original).encode()
    return file.data


def _is_swapped_itself(name: str, file: ConfFile, record: Record) -> bool:
    """Tell whether a file is the one that was swapped, renamed, as far as that can be told.

    A copy says the same, and is younger than the record, unless it was made with its time. Cilium makes no copies.
    """
    if record.original is not None and name == record.file + CILIUMS_SUFFIX:
        return True
    is_old = file.path.stat().st_mtime <= record.applied
    return record.original is not None and digest(file.data) == record.written and is_old


def _former_name(name: str, former: Iterable[str]) -> str:
    """Return what a file was called that was renamed by putting something after its name; "" for another file."""
    return next((known for known in former if name.startswith(f"{known}.")), "")
