"""Give Calico's conflist its own ipam back. Side effects: the conflist and our copies of it."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from cni.contracts.installation import Desired, Record
from cni.deadline import Deadline
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import record as records
from cni.installer.conflist.apply import FINISHED_IN, TRIES, settle, wait_until_settled, when_finished
from cni.installer.conflist.chain import without
from cni.installer.conflist.copies import earlier_files, has_executable
from cni.installer.conflist.document import ConflistError, NoneFoundError
from cni.installer.conflist.folder import SUFFIXES, Source, names_our_plugin, read_file, read_folder
from cni.installer.conflist.ipam import ipam_type
from cni.installer.conflist.source import digest, original_ipam, read_source
from cni.installer.node import atomic_file
from cni.installer.node.atomic_file import ChangedError
from cni.installer.node.folders import Folders

_CALICO_IPAM = '{"type": "calico-ipam"}'


def restore(folders: Folders, record: Record | None, *, force: bool = False) -> list[str]:
    """Remove our copies, and put the original ipam value back; say what was done.

    It takes a second more where a file was replaced, because somebody may still be writing to the old one. `force`
    writes calico-ipam where the conflist would still name our plugin. ConflistError: the source is as it was.
    """
    done: list[str] = []
    renamed: list[str] = []
    unfinished = Deadline(FINISHED_IN)
    for _ in range(TRIES):
        with suppress(ChangedError):
            settle(folders, record)
            if record:
                done += _take_out_gone(folders, record)
                done += remove_copies(folders, record)
                done += _restore_earlier(folders, record)
                renamed += _restore_renamed(folders, record)
            look = partial(_restore_source, folders, record, force, is_renamed=bool(renamed))
            done += when_finished(look, unfinished)
            wait_until_settled(folders, record)
            return list(dict.fromkeys(done + renamed))
    raise ConflistError(f"the conflist in {folders.conf_name} is being written all the time: try again")


def remove_copies(folders: Folders, record: Record) -> list[str]:
    """Remove the copies that are still ours; say what was done. OSError."""
    files = {file.path: file for file in read_folder(folders)} if record.copies else {}
    done = []
    for path in [folders.conf / name for name in record.copies]:
        if names_our_plugin(files.get(path), record.desired.plugin_type):
            atomic_file.remove(path)
            done.append(f"{folders.name_of(path)}: removed")
        elif os.path.lexists(path):
            done.append(f"{folders.name_of(path)}: left unchanged: it is no longer ours")
    return done


def _take_out_gone(folders: Folders, record: Record) -> list[str]:
    """Take others' plugins without an executable out of Calico's file, before runtimes load that file again. OSError.

    Their owner took them out of our copy, because that was the file that runtimes loaded. With them no pod could start.
    """
    try:
        source = read_source(folders, record.desired, record)[1]
        gone = sorted(name for name in {*record.chained, *record.taken_out} if not has_executable(folders, name))
        after = without(source.document, gone).encode()
    except ConflistError:
        return []
    if after == source.data:
        return []
    atomic_file.replace(folders.root.follow(source.path), after, instead_of=source.data)
    return [f"{folders.name_of(source.path)}: taken out, because {folders.bin_name} has it no more: {', '.join(gone)}"]


def _restore_earlier(folders: Folders, record: Record) -> list[str]:
    """Put the ipam of the files back that runtimes load before the conflist, where it is ours still. OSError.

    Some may be newer than the last look of watch.
    """
    originals = record.also
    with suppress(ConflistError):
        source = _swapped_source(folders, record)
        target = Path(record.file).name
        files, original = read_folder(folders), original_ipam(folders, source, record)
        originals = earlier_files(folders, record.desired, record, files, source, original, target)[1] | originals
    done = []
    for file in read_folder(folders):
        name = folders.name_of(file.path)
        if name not in originals or not names_our_plugin(file, record.desired.plugin_type) or file.document is None:
            continue
        for delegation in file.delegations(record.desired.plugin_type)[:1]:
            after = file.document.with_ipam(delegation, originals[name]).encode()
            atomic_file.replace(folders.root.follow(file.path), after, instead_of=file.data)
            done.append(f"{name}: its original ipam is restored")
    return done


def _restore_source(folders: Folders, record: Record | None, force: bool, *, is_renamed: bool) -> list[str]:
    """Put the ipam back in Calico's file; `is_renamed` tells that it was put back in one that runtimes do not load.

    ConflistError where the file is not there: it would name a plugin that is missing when it comes back. But where the
    whole folder was emptied, nothing is to come back.
    """
    try:
        source = _swapped_source(folders, record)
    except ConflistError as error:
        was_in_place = record is not None and record.original is not None
        if not isinstance(error, NoneFoundError) and (was_in_place or record is None):
            raise
        if record and was_in_place and not (is_renamed or force or records.is_lost(folders)):
            raise ConflistError(
                f"{record.file}, which was swapped, is not there: put it back into {folders.conf_name} and uninstall"
                " again, or uninstall with --force (then write its ipam by hand before you put it back)"
            ) from None
        return [f"{folders.conf_name}: left unchanged: {error}"]
    name, delegation = folders.name_of(source.path), source.delegation
    if delegation.ipam_type != IPAM_TYPE:
        return [f"{name}: left unchanged: its ipam.type is {delegation.ipam_type}"]
    if record is None and not force:
        text = f"{name} names spiderpool, and what it held before is not recorded: edit its ipam"
        raise ConflistError(f"{text}, or write calico-ipam with --force")
    original = original_ipam(folders, source, record)
    if force and ipam_type(original) == IPAM_TYPE:
        original = _CALICO_IPAM
    after = source.document.with_ipam(delegation, original).encode()
    if after == source.data:
        return [f"{name}: left unchanged: its ipam was the same before the installation"]
    is_as_written = record is not None and digest(source.data) == record.written
    atomic_file.replace(folders.root.follow(source.path), after, instead_of=source.data)
    return [f"{name}: its original ipam is restored{'' if is_as_written else ' (later changes by others are kept)'}"]


def _restore_renamed(folders: Folders, record: Record) -> list[str]:
    """Put the ipam back in files that somebody has renamed so that runtimes do not load them (Cilium, for example).

    They would name a plugin that is not there when they come back. A copy of ours is removed. OSError.
    """
    done = []
    for path in sorted(folders.conf.iterdir()) if folders.conf.is_dir() else []:
        file = None if path.suffix in SUFFIXES else read_file(folders, path)
        if file is None or file.document is None or not names_our_plugin(file, record.desired.plugin_type):
            continue
        name = folders.name_of(path)
        if _former_name(path.name, record.copies):
            atomic_file.remove(path, instead_of=file.data)
            done.append(f"{name}: removed")
            continue
        held = _former_name(name, record.also)
        for delegation in file.delegations(record.desired.plugin_type)[:1]:
            original = (
                record.also[held] if held else original_ipam(folders, Source(path, file.document, delegation), record)
            )
            after = file.document.with_ipam(delegation, original).encode()
            if after != file.data:
                atomic_file.replace(folders.root.follow(path), after, instead_of=file.data)
                done.append(f"{name}: its original ipam is restored, though runtimes do not load it")
    return done


def _former_name(name: str, former: Iterable[str]) -> str:
    """Return what a file was called that was renamed by putting something after its name; "" for another file."""
    return next((known for known in former if name.startswith(f"{known}.")), "")


def _swapped_source(folders: Folders, record: Record | None) -> Source:
    """Return the file that was swapped or, where there is no such file any more, the one that install would choose."""
    desired = record.desired if record else Desired()
    if record and record.original is not None and record.file.rpartition("/")[2] not in record.copies:
        with suppress(ConflistError):
            return read_source(folders, replace(desired, conf=record.file), record)[1]
    return read_source(folders, desired, record)[1]
