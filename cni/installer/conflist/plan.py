"""What Calico's conflist holds, and what it is to hold. Reads the folder of network configurations, writes nothing.

Our `ipam` is swapped into the conflist in place, or into a copy whose name sorts first and which has the same network;
and into every file of that network that runtimes load before, as istio-cni's own. Once swapped, the recorded file is
the file, whatever other files hold Calico's plugin.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cni.contracts.installation import Desired, Record
from cni.defaults import IPAM_TYPE
from cni.installer.conflict import Reason
from cni.installer.conflist import ipam
from cni.installer.conflist.chain import Chain
from cni.installer.conflist.copies import (
    Change,
    chain_of,
    copy_of,
    earlier_files,
    former_copies,
    former_files,
    held_in_place,
)
from cni.installer.conflist.difference import changed_members
from cni.installer.conflist.document import UnfinishedError
from cni.installer.conflist.folder import ConfFile, Source, before_ours
from cni.installer.conflist.source import digest, file_at, original_ipam, read_source
from cni.installer.node.folders import Folders

_KEPT_DRIFTS = 4  # more than three in an hour are a fight (cni/doctor/checks/node_upkeep.py)


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
    also: list[Change]  # files of the network that runtimes load before the target: they are to hold our ipam, too
    originals: dict[str, str]  # by their names, the ipam values as they are without us
    chain: Chain | None  # of a copy

    @property
    def is_first(self) -> bool:
        """Whether the node is not swapped yet."""
        return self.record is None or not self.record.is_in_force

    @property
    def is_adoption(self) -> bool:
        """Whether a file is to be swapped for the first time because it stands in for the recorded one."""
        is_other = self.record is not None and self.record.file != self.target.name
        return bool(self.source.stands_in_for) and (is_other or self.target.before is None)

    @property
    def drift(self) -> Reason | None:
        """What somebody else has done to our ipam, if anybody has."""
        if self.record is None or self.is_first:
            return None
        if not self.target.is_needed:
            return "replaced" if self._undone else None
        name = self.desired.as_name
        if not name:
            current = self.source.delegation
            is_other = current.ipam_type != IPAM_TYPE and self.record.original is not None
            was_ours = self.original == self.record.original and self.desired == self.record.desired
            has_others_settings = was_ours and current.ipam not in self.record.values
            return "replaced" if is_other or has_others_settings else None
        if name not in self.record.copies or digest(self.target.before) == self.record.written:
            return None
        return "removed" if self.target.before is None else "overwritten"

    @property
    def is_half_written(self) -> bool:
        """Whether our copy was changed and is not JSON: linkerd-cni, for example, writes in place, and may be at it."""
        copy = file_at(self.files, self.folders.conf / self.desired.as_name) if self.drift else None
        return copy is not None and isinstance(copy.fault, UnfinishedError)

    @property
    def drifted(self) -> str:
        """What somebody else has changed, for people: a member of a file, and the file."""
        change = self.target if self.target.is_needed else next(iter(self._undone), self.target)
        return f"{changed_members(change.before, change.after)} in {change.name}"

    @property
    def left(self) -> str:
        """What somebody else has left of it, which tells who it was."""
        if self.drift == "removed":
            return "it was gone"
        if self.desired.as_name or not self.target.is_needed:
            return f"others had written {self.drifted}"
        found = self.source.delegation.ipam_type
        return "our ipam had other settings" if found == IPAM_TYPE else f"its ipam.type was {found}"

    @property
    def _undone(self) -> list[Change]:
        """The files before the target whose ipam was ours, and is not any more."""
        return [change for change in self.also if change.is_needed and self.record and change.name in self.record.also]

    @property
    def held(self) -> set[Path]:
        """The files beside the target that hold our ipam, or are to, as they are called in the folder."""
        names = {change.name for change in self.also}
        return {file.path for file in self.files if self.folders.name_of(file.path) in names}

    @property
    def loaded_first(self) -> str:
        """Which file of the network runtimes load in the place of ours, as a sentence; "" where there is none."""
        target, network = Path(self.target.name).name, self.source.delegation.network
        held = {change.name for change in (self.target, *self.also)}
        for file, delegation in before_ours(self.files, target, network, self.desired.plugin_type):
            if (name := self.folders.name_of(file.path)) not in held and delegation.ipam_type != IPAM_TYPE:
                return (
                    f"runtimes load {name} before {self.target.name}: it has the same network, and its ipam.type is"
                    f" {delegation.ipam_type}: remove it, or install --as a name that sorts before it"
                )
        return ""

    @property
    def message(self) -> str:
        """Why something is to be written, in a few words; "" where everything is as desired."""
        if not self.target.is_needed:
            if self.leftovers:
                return "the former copy, or the former change in Calico's file, is still there"
            also = [change.name for change in self.also if change.is_needed]
            return f"runtimes load {also[0]} before it, which had another ipam" if also else ""
        if self.target.before is None:
            return "it was removed" if self.drift else "it is missing"
        if self.desired.as_name:
            if self.drift:
                return "it was overwritten"
            missing = self.chain.without_executable if self.chain else []
            if missing:
                return (
                    f"{', '.join(missing)} is left out of its chain, because {self.folders.bin_name} has no such plugin"
                )
            return f"{self.source.path.name} has changed, or the settings have"
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
            also={**old.also, **({} if old.file == self.target.name else held_in_place(old)), **self.originals},
            original=old.original if name else self.original,
            values=sorted({*old.values, *([] if name else [self.our_ipam])}),
            copies=sorted({*old.copies, *([name] if name else [])}),
        )

    def record_after(self, now: float) -> Record:
        """Return the record to be written when all is done, at `now` in Unix seconds."""
        old = self.record if self.record and self.record.is_in_force else None
        name = self.desired.as_name
        drifts = old.drifts if old and old.desired == self.desired else []
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
            source=self.source.stands_in_for or self.folders.name_of(self.source.path),
            also=self.originals,
            chained=self.chain.others if self.chain else {},
            taken_out=self.chain.taken_out if self.chain else [],
            seen=self.chain.seen if self.chain else [],
            drifts=[*drifts, now][-_KEPT_DRIFTS:] if self.drift else drifts,
            left=self.left if self.drift else old.left if old and drifts else "",
        )


def plan(folders: Folders, desired: Desired, record: Record | None, *, may_stand_in: bool = True) -> Plan:
    """Read the folder and return what is to be done. ConflistError where that is not clear or not safe. OSError.

    `may_stand_in` tells whether another file may take the place of the recorded one where that is missing.
    """
    files, source = read_source(folders, desired, record, may_stand_in=may_stand_in)
    delegation = source.delegation
    if not desired.force:
        ipam.require_replaceable(delegation)
    original = original_ipam(folders, source, record)
    our_ipam = ipam.our_ipam(delegation.ipam, original, desired.settings)
    after = source.document.with_ipam(delegation, our_ipam).encode()
    in_place = Change(folders.root.follow(source.path), folders.name_of(source.path), source.data, after)
    links = None
    if desired.as_name:
        copy = copy_of(folders, desired, record, files, source)
        links = chain_of(folders, record, after, desired.plugin_type, copy)
        target = copy._replace(after=links.text.encode())
        put_back = in_place._replace(after=source.document.with_ipam(delegation, original).encode())
        leftovers = [put_back] if put_back.is_needed else []
    else:
        target, leftovers = in_place, []
    leftovers += former_copies(folders, desired, record, files)
    also, originals = earlier_files(folders, desired, record, files, source, original, Path(target.name).name)
    leftovers += former_files(folders, desired, record, files, {in_place.name, target.name, *originals})
    if record and record.original is not None and source.stands_in_for:
        swapped = record.also.get(source.stands_in_for, record.original)
        originals = {**originals, source.stands_in_for: swapped}  # it may come back with our ipam
    return Plan(folders, desired, record, files, source, original, our_ipam, target, leftovers, also, originals, links)
