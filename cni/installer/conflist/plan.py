"""What Calico's conflist holds, and what it is to hold. Reads the folder of network configurations, writes nothing.

Our `ipam` is swapped into the conflist in place, or into a copy whose name sorts first and which has the same network.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cni.contracts.installation import Desired, Record
from cni.defaults import IPAM_TYPE
from cni.installer.conflict import Reason
from cni.installer.conflist import ipam
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import SUFFIXES, ConfFile, Source, choose, names_our_plugin, read_folder
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


class Plan(NamedTuple):
    """What was read, and what is to be written because of it."""

    folders: Folders
    desired: Desired
    record: Record | None
    files: Sequence[ConfFile]  # all that was read
    source: Source  # the file with the main plugin in it
    original: str  # its ipam value, as it is without us
    our_ipam: str
    target: Change  # the file that is to hold our ipam: the source or the copy
    leftovers: list[Change]  # what is left of an installation that was in place, or had another copy

    @property
    def is_first(self) -> bool:
        """Whether the node is not swapped yet."""
        return self.record is None or not self.record.is_in_force

    @property
    def drift(self) -> Reason | None:
        """What somebody else has done to our ipam, if anybody has."""
        if self.record is None or self.is_first or not self.target.is_needed:
            return None
        name = self.desired.as_name
        if not name:
            is_other = self.source.delegation.ipam_type != IPAM_TYPE
            return "replaced" if is_other and self.record.original is not None else None
        if name not in self.record.copies or digest(self.target.before) == self.record.written:
            return None
        return "removed" if self.target.before is None else "overwritten"

    @property
    def message(self) -> str:
        """Why something is to be written, in a few words; "" where everything is as desired."""
        if not self.target.is_needed:
            return "the former copy, or the former change in Calico's file, is still there" if self.leftovers else ""
        if self.target.before is None:
            return "it was removed" if self.drift else "it is missing"
        if self.desired.as_name:
            changed = f"{self.source.path.name} has changed, or the settings have"
            return "it was overwritten" if self.drift else changed
        found = self.source.delegation.ipam_type
        return "its settings differ" if found == IPAM_TYPE else f"ipam.type is {found}"

    @property
    def settings(self) -> dict[str, Any]:
        """What our ipam object says."""
        return ipam.ipam_settings(self.our_ipam, otherwise=self.desired.settings)

    @property
    def is_recorded(self) -> bool:
        """Whether the record says already what is to hold."""
        return self.record is not None and self.record == self.record_after(self.record.applied)

    def record_before(self) -> Record:
        """Return the record to be written before anything else is: what is going to be lost, and what may be there."""
        old = self.record or Record(self.desired, self.target.name)
        name = self.desired.as_name
        return replace(
            old,
            original=old.original if name else self.original,
            values=sorted({*old.values, *([] if name else [self.our_ipam])}),
            copies=sorted({*old.copies, *([name] if name else [])}),
        )

    def record_after(self, now: float) -> Record:
        """Return the record to be written when all is done, at `now` in Unix seconds."""
        old = self.record if self.record and self.record.is_in_force else None
        name = self.desired.as_name
        return Record(
            desired=self.desired,
            file=self.target.name,
            original=None if name else self.original,
            values=[] if name else [self.our_ipam],
            written=digest(self.target.after),
            since=old.since if old else now,
            applied=now,
            copies=[name] if name else [],
            drift_count=(old.drift_count if old else 0) + bool(self.drift),
        )


def plan(folders: Folders, desired: Desired, record: Record | None) -> Plan:
    """Read the folder and return what is to be done. ConflistError where that is not clear or not safe. OSError."""
    files, source = read_source(folders, desired, record)
    delegation = source.delegation
    if not desired.force:
        ipam.require_replaceable(delegation)
    original = original_ipam(source, record)
    our_ipam = ipam.our_ipam(delegation.ipam, original, desired.settings)
    after = source.document.with_ipam(delegation, our_ipam).encode()
    in_place = Change(folders.root.follow(source.path), folders.name_of(source.path), source.data, after)
    if desired.as_name:
        target = _copy(folders, desired, record, files, source)._replace(after=after)
        put_back = in_place._replace(after=source.document.with_ipam(delegation, original).encode())
        leftovers = [put_back] if put_back.is_needed else []
    else:
        target, leftovers = in_place, []
    leftovers += _former_copies(folders, desired, record, files)
    return Plan(folders, desired, record, files, source, original, our_ipam, target, leftovers)


def read_source(folders: Folders, desired: Desired, record: Record | None) -> tuple[list[ConfFile], Source]:
    """Read the folder; return all files, and the one that is to be swapped. ConflistError, OSError."""
    conf = _conf_path(folders, desired.conf) if desired.conf else None
    files = read_folder(folders, conf)
    copies = set(record.copies if record else ())
    if names_our_plugin(_file_at(files, folders.conf / desired.as_name), desired.plugin_type):
        copies.add(desired.as_name)
    return files, choose(folders, files, desired.plugin_type, conf, copies)


def original_ipam(source: Source, record: Record | None) -> str:
    """Return the source's ipam value as it is without us: the one that was kept, if the present one is ours.

    A value that names our plugin is not ours where nothing is kept (the Go plugin was here before, or Calico's own
    configuration says so), and where it differs from ours while the one that was kept names our plugin, too: then it is
    newer than the one that was kept.
    """
    current = source.delegation.ipam
    if record is None or record.original is None or source.delegation.ipam_type != IPAM_TYPE:
        return current
    is_ours = current in record.values or ipam.ipam_type(record.original) != IPAM_TYPE
    return record.original if is_ours else current


def digest(data: bytes | None) -> str:
    """Return the SHA-256 of a file as `Record.written` has it; "" for one that is missing."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _conf_path(folders: Folders, conf: str) -> Path:
    """Return the file that --conf names: a path of the node, or a name in the folder of network configurations."""
    if Path(conf).parent in (Path(), Path(folders.conf_name)):
        return folders.conf / Path(conf).name
    return folders.root.resolve(conf)


def _file_at(files: Sequence[ConfFile], path: Path) -> ConfFile | None:
    return next((file for file in files if file.path == path), None)


def _copy(
    folders: Folders, desired: Desired, record: Record | None, files: Sequence[ConfFile], source: Source
) -> Change:
    """Return the copy as it is. ConflistError where none can be, or where the file is not ours."""
    name, suffix = desired.as_name, source.path.suffix
    path = folders.conf / name
    if Path(name).name != name or path.suffix != suffix or path.suffix not in SUFFIXES:
        raise ConflistError(f"--as {name}: want a file name that ends in {suffix}, as its source does")
    if not name < source.path.name:
        raise ConflistError(f"--as {name}: want a name that sorts before its source, {source.path.name}")
    file = _file_at(files, path)
    is_known = record is not None and name in record.copies
    if os.path.lexists(path) and not is_known and not names_our_plugin(file, desired.plugin_type):
        raise ConflistError(f"--as {name}: there is such a file, and it is not ours: choose another name")
    return Change(folders.root.follow(path), folders.name_of(path), file.data if file else None, None)


def _former_copies(
    folders: Folders, desired: Desired, record: Record | None, files: Sequence[ConfFile]
) -> list[Change]:
    """Return the copies of other names that are still ours: they are to be removed."""
    names = sorted(set(record.copies if record else ()) - {desired.as_name})
    found = [file for name in names if (file := _file_at(files, folders.conf / name))]
    ours = [file for file in found if names_our_plugin(file, desired.plugin_type)]
    return [Change(file.path, folders.name_of(file.path), file.data, None) for file in ours]
