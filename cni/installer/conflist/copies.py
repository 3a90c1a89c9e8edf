"""The files beside Calico's that are to hold our `ipam`, too: our copy of it, and those that runtimes load before it.

Reads nothing but what was read, and looks for the plugins' executables.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from cni.contracts.installation import Desired, Record
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import ipam
from cni.installer.conflist.chain import Chain, chain, parse_copy
from cni.installer.conflist.document import ConflistError, Delegation, read_document
from cni.installer.conflist.folder import SUFFIXES, ConfFile, Source, before_ours, names_our_plugin, read_file
from cni.installer.conflist.source import file_at
from cni.installer.node.folders import Folders


class Change(NamedTuple):
    """A file that is to be written or removed."""

    path: Path  # what it leads to, where it is a symbolic link
    name: str  # what the node calls it
    before: bytes | None  # what it holds; None where it is missing
    after: bytes | None  # what it is to hold; None where it is to be removed

    @property
    def is_needed(self) -> bool:
        """Whether the file does not hold yet what it is to hold."""
        return self.before != self.after


def copy_of(
    folders: Folders, desired: Desired, record: Record | None, files: Sequence[ConfFile], source: Source
) -> Change:
    """Return the copy as it is. ConflistError where none can be, or where the file is not ours."""
    name, suffix = desired.as_name, source.path.suffix
    path = folders.conf / name
    if Path(name).name != name or path.suffix != suffix or path.suffix not in SUFFIXES:
        raise ConflistError(f"--as {name}: want a file name that ends in {suffix}, as its source does")
    if not name < source.path.name:
        raise ConflistError(f"--as {name}: want a name that sorts before its source, {source.path.name}")
    earlier = [
        file.path.name
        for file, _ in before_ours(files, name, source.delegation.network, desired.plugin_type)
        if file.path.name not in (record.copies if record else [])
    ]
    if earlier and not (record and name in record.copies):
        raise ConflistError(
            f"--as {name}: runtimes load {earlier[0]} before it, a file of the same network: install without --as, so"
            f" that {earlier[0]} gets spiderpool's ipam, too; or name a copy that sorts before it, which pods then get"
            " in its place"
        )
    file = file_at(files, path)
    is_known = record is not None and name in record.copies
    if os.path.lexists(path) and not is_known and not names_our_plugin(file, desired.plugin_type):
        raise ConflistError(f"--as {name}: there is such a file, and it is not ours: choose another name")
    return Change(folders.root.follow(path), folders.name_of(path), file.data if file else None, None)


def former_copies(folders: Folders, desired: Desired, record: Record | None, files: Sequence[ConfFile]) -> list[Change]:
    """Return the copies of other names that are still ours: they are to be removed."""
    names = sorted(set(record.copies if record else ()) - {desired.as_name})
    found = [file for name in names if (file := file_at(files, folders.conf / name))]
    ours = [file for file in found if names_our_plugin(file, desired.plugin_type)]
    return [Change(file.path, folders.name_of(file.path), file.data, None) for file in ours]


def held_in_place(record: Record | None) -> dict[str, str]:
    """Return the name of the file that was swapped in place, and what its ipam was; nothing where there is none."""
    return {record.file: record.original} if record and record.original is not None else {}


def former_files(
    folders: Folders, desired: Desired, record: Record | None, files: Sequence[ConfFile], held: Collection[str]
) -> list[Change]:
    """Return the files whose ipam was ours, and is not to be any more: they are to get their own back.

    Such a file has stood in for the recorded one, for example; those called `held` keep our ipam, or are the source.
    """
    originals = {**(record.also if record else {}), **held_in_place(record)}
    values = record.values if record else []
    found = {folders.name_of(file.path): file for file in files}
    changes = []
    for name in sorted(originals.keys() - held):
        file = found.get(name) or read_file(folders, folders.root.resolve(Path(name).parent) / Path(name).name)
        if file is None or file.document is None or not names_our_plugin(file, desired.plugin_type):
            continue
        for delegation in file.delegations(desired.plugin_type)[:1]:
            if delegation.ipam in values or ipam.ipam_type(originals[name]) != IPAM_TYPE:
                after = file.document.with_ipam(delegation, originals[name]).encode()
                changes.append(Change(folders.root.follow(file.path), name, file.data, after))
    return [change for change in changes if change.is_needed]


def chain_of(folders: Folders, record: Record | None, source: bytes, plugin_type: str, copy: Change) -> Chain:
    """Return what the copy is to hold, with what others have chained to it."""
    document = read_document(source.decode())
    return chain(
        document,
        plugin_type,
        parse_copy(copy.before, document.network()),
        known=record.chained if record else {},
        taken_out=record.taken_out if record else [],
        seen=record.seen if record else [],
        has_executable=lambda name: has_executable(folders, name),
    )


def has_executable(folders: Folders, plugin_type: str) -> bool:
    """Tell whether the folder of plugins has this plugin. OSError.

    A link to what is not mounted in this container counts as one: on the node it may lead to the plugin, and a plugin
    that is taken out of the chain is missed in every pod.
    """
    name = folders.root.name_of(folders.bin / Path(plugin_type).name)
    found = folders.root.find(name)
    return found.is_file() if found else folders.root.is_unmounted(name)


def earlier_files(
    folders: Folders,
    desired: Desired,
    record: Record | None,
    files: Sequence[ConfFile],
    source: Source,
    original: str,
    target: str | None,
) -> tuple[list[Change], dict[str, str]]:
    """Return the files of the network that runtimes load before the target, and what their ipam is without us.

    Without a target, these are all files of the network but the source. A file that was made of ours, and so has our
    ipam from the beginning, is to have the source's own in the end; one that named our plugin before us (the Go plugin
    was here) is to have that again.
    """
    known = {**(record.also if record else {}), **held_in_place(record)}
    changes, originals = [], {}
    for file, delegation in before_ours(files, target, source.delegation.network, desired.plugin_type):
        if file.path == source.path or file.document is None:
            continue
        name = folders.name_of(file.path)
        is_ours = delegation.ipam_type == IPAM_TYPE and (
            name in known or _is_made_of_ours(delegation, original, desired, record)
        )
        if not is_ours and (desired.conf or not (desired.force or ipam.is_replaceable(delegation))):
            continue  # whoever named a file has left out the others; and watch tells that runtimes load it before ours
        theirs = known.get(name, original) if is_ours else delegation.ipam
        originals[name] = theirs
        after = file.document.with_ipam(delegation, ipam.our_ipam(delegation.ipam, theirs, desired.settings)).encode()
        changes.append(Change(folders.root.follow(file.path), name, file.data, after))
    return changes, originals


def _is_made_of_ours(delegation: Delegation, original: str, desired: Desired, record: Record | None) -> bool:
    """Tell whether a file that was not seen before has the very ipam that we wrote: somebody has copied it."""
    asked = [desired.settings, record.desired.settings] if record else []
    return any(ipam.our_ipam(delegation.ipam, original, settings) == delegation.ipam for settings in asked)
