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
from cni.installer.conflist.folder import Source, names_our_plugin, read_folder
from cni.installer.conflist.ipam import ipam_type
from cni.installer.conflist.source import digest, original_ipam, read_source
from cni.installer.conflist.unloaded import Unloaded, find_unloaded, give_back
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
    given_back: list[str] = []
    is_renamed = False
    unfinished = Deadline(FINISHED_IN)
    for _ in range(TRIES):
        with suppress(ChangedError):
            settle(folders, record)
            if record:
                done += _take_out_gone(folders, record, unfinished)
                unloaded = _unloaded(folders, record, force=force)
                done += remove_copies(folders, record)
                done += _restore_earlier(folders, record)
                for file in unloaded:
                    given_back.append(give_back(file.change))
                    is_renamed |= file.is_swapped_itself
            done += _restore_source(folders, record, force, unfinished, is_renamed=is_renamed)
            wait_until_settled(folders, record)
            return list(dict.fromkeys(done + given_back))
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


def _take_out_gone(folders: Folders, record: Record, unfinished: Deadline) -> list[str]:
    """Take others' plugins without an executable out of Calico's file, before runtimes load that file again. OSError.

    Their owner took them out of our copy, because that was the file that runtimes loaded. With them no pod could start.
    """
    try:
        source = when_finished(lambda: read_source(folders, record.desired, record)[1], unfinished)
        gone = sorted(name for name in record.seen if not has_executable(folders, name))
        after = without(source.document, gone).encode()
    except ConflistError:
        return []
    if after == source.data:
        return []
    atomic_file.replace(folders.root.follow(source.path), after, instead_of=source.data)
    return [f"{folders.name_of(source.path)}: taken out, because {folders.bin_name} has it no more: {', '.join(gone)}"]


def _unloaded(folders: Folders, record: Record, *, force: bool) -> list[Unloaded]:
    """Return what is to become of the files that runtimes do not load. ConflistError, OSError."""
    source = None
    with suppress(ConflistError):
        source = _swapped_source(folders, record)
    return find_unloaded(folders, record, source, force=force)


def _restore_earlier(folders: Folders, record: Record) -> list[str]:
    """Put the ipam of the files back that runtimes load before the conflist, where it is ours still. OSError.

    Some may be newer than the last look of watch. Beside a copy, all files of its network are meant: others may have
    made them of the copy, because that was the file that runtimes loaded.
    """
    originals = record.also
    with suppress(ConflistError):
        source = _swapped_source(folders, record)
        target = None if record.desired.as_name else Path(record.file).name
        files, original = read_folder(folders), original_ipam(folders, source, record)
        originals = earlier_files(folders, record.desired, record, files, source, original, target)[1] | originals
    done = []
    for file in read_folder(folders):
        name = folders.name_of(file.path)
        if name not in originals or not names_our_plugin(file, record.desired.plugin_type) or file.document is None:
            continue
        for delegation in file.delegations(record.desired.plugin_type)[:1]:
            after = file.document.with_ipam(delegation, originals[name]).encode()
            if after != file.data:
                atomic_file.replace(folders.root.follow(file.path), after, instead_of=file.data)
                done.append(f"{name}: its original ipam is restored")
    return done


def _restore_source(
    folders: Folders, record: Record | None, force: bool, unfinished: Deadline, *, is_renamed: bool
) -> list[str]:
    """Put the ipam back in Calico's file; say what was done. ConflistError; beside a copy, the file is left then."""
    try:
        source = when_finished(lambda: _swapped_source(folders, record), unfinished)
    except NoneFoundError as error:
        _require_swapped(folders, record, None, is_given_back=is_renamed or force)
        return [f"{folders.conf_name}: left unchanged: {error}"]
    except ConflistError as error:
        if record is None or record.original is not None:
            raise
        return [f"{folders.conf_name}: left unchanged: {error}"]
    _require_swapped(folders, record, source, is_given_back=is_renamed or force)
    return _put_back(folders, record, source, force)


def _require_swapped(folders: Folders, record: Record | None, source: Source | None, *, is_given_back: bool) -> None:
    """Raise ConflistError where the swapped file is not there: it would name a missing plugin when it comes back.

    But where the whole folder was emptied, nothing is to come back.
    """
    if record is None or record.original is None or is_given_back or records.is_lost(folders):
        return
    is_there = source and (folders.name_of(source.path) == record.file or source.delegation.ipam_type == IPAM_TYPE)
    if not is_there:
        raise ConflistError(
            f"{record.file}, which was swapped, is not there: put it back into {folders.conf_name} and uninstall"
            " again, or uninstall with --force (then write its ipam by hand before you put it back)"
        )


def _put_back(folders: Folders, record: Record | None, source: Source, force: bool) -> list[str]:
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
        return [f"{name}: left unchanged: its ipam was the same before the installation; --force writes calico-ipam"]
    is_as_written = record is not None and digest(source.data) == record.written
    atomic_file.replace(folders.root.follow(source.path), after, instead_of=source.data)
    return [f"{name}: its original ipam is restored{'' if is_as_written else ' (later changes by others are kept)'}"]


def _swapped_source(folders: Folders, record: Record | None) -> Source:
    """Return the file that was swapped or, where there is no such file any more, the one that install would choose."""
    desired = record.desired if record else Desired()
    if record and record.original is not None and record.file.rpartition("/")[2] not in record.copies:
        with suppress(NoneFoundError):
            return read_source(folders, replace(desired, conf=record.file), record)[1]
    return read_source(folders, desired, record)[1]
