"""Give Calico's conflist its own ipam back. Side effects: the conflist and our copies of it."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cni.contracts.installation import Desired, Record
from cni.deadline import Deadline
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import record as records
from cni.installer.conflist.apply import FINISHED_IN, TRIES, settle, wait_until_settled, when_finished
from cni.installer.conflist.chain import without
from cni.installer.conflist.copies import earlier_files, has_executable
from cni.installer.conflist.document import ConflistError, NoneFoundError
from cni.installer.conflist.folder import Source, names_our_plugin, read_file, read_folder
from cni.installer.conflist.ipam import ipam_type
from cni.installer.conflist.plan import digest
from cni.installer.conflist.source import original_ipam, read_source
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
    unfinished = Deadline(FINISHED_IN)
    for _ in range(TRIES):
        with suppress(ChangedError):
            settle(folders, record)
            if record:
                done += _take_out_gone(folders, record)
                done += remove_copies(folders, record)
                done += _restore_earlier(folders, record)
            done += when_finished(lambda: _restore_source(folders, record, force), unfinished)
            wait_until_settled(folders, record)
            return list(dict.fromkeys(done))
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
        files, original = read_folder(folders), original_ipam(source, record)
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


def _restore_source(folders: Folders, record: Record | None, force: bool) -> list[str]:
    try:
        source = _swapped_source(folders, record)
    except ConflistError as error:
        if isinstance(error, NoneFoundError) and record and record.original is not None:
            return _restore_renamed(folders, record, error, force)
        if isinstance(error, NoneFoundError) or (record and record.original is None):
            return [f"{folders.conf_name}: left unchanged: {error}"]
        raise
    name, delegation = folders.name_of(source.path), source.delegation
    if delegation.ipam_type != IPAM_TYPE:
        return [f"{name}: left unchanged: its ipam.type is {delegation.ipam_type}"]
    if record is None and not force:
        text = f"{name} names spiderpool, and what it held before is not recorded: edit its ipam"
        raise ConflistError(f"{text}, or write calico-ipam with --force")
    original = original_ipam(source, record)
    if force and ipam_type(original) == IPAM_TYPE:
        original = _CALICO_IPAM
    after = source.document.with_ipam(delegation, original).encode()
    if after == source.data:
        return [f"{name}: left unchanged: its ipam was the same before the installation"]
    is_as_written = record is not None and digest(source.data) == record.written
    atomic_file.replace(folders.root.follow(source.path), after, instead_of=source.data)
    return [f"{name}: its original ipam is restored{'' if is_as_written else ' (later changes by others are kept)'}"]


def _restore_renamed(folders: Folders, record: Record, error: NoneFoundError, force: bool) -> list[str]:
    """Put the ipam back in a file that runtimes do not load, because somebody has renamed it (Cilium, for example).

    ConflistError where there is none: it would name a plugin that is not there when it comes back. But where the whole
    folder was emptied, nothing is to come back.
    """
    done = []
    for path in sorted(folders.conf.iterdir()) if folders.conf.is_dir() else []:
        file = read_file(folders, path)
        if not names_our_plugin(file, record.desired.plugin_type) or file is None or file.document is None:
            continue
        for delegation in file.delegations(record.desired.plugin_type):
            original = original_ipam(Source(path, file.document, delegation), record)
            after = file.document.with_ipam(delegation, original).encode()
            atomic_file.replace(folders.root.follow(path), after, instead_of=file.data)
            done.append(f"{folders.name_of(path)}: its original ipam is restored, though runtimes do not load it")
    if done or force or records.is_lost(folders):
        return done or [f"{folders.conf_name}: left unchanged: {error}"]
    raise ConflistError(
        f"{record.file}, which was swapped, is not there: put it back into {folders.conf_name} and uninstall again, or"
        " uninstall with --force (then write its ipam by hand before you put it back)"
    )


def _swapped_source(folders: Folders, record: Record | None) -> Source:
    """Return the file that was swapped or, where there is no such file any more, the one that install would choose."""
    desired = record.desired if record else Desired()
    if record and record.original is not None and record.file.rpartition("/")[2] not in record.copies:
        with suppress(ConflistError):
            return read_source(folders, replace(desired, conf=record.file), record)[1]
    return read_source(folders, desired, record)[1]
