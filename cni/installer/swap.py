"""Calico's conflist on disk: what is to be written, writing it, giving it back. Side effects: that file, the record.

In place, or as a copy under a name that sorts first and holds the same network. Whatever is to be lost later is written
down before, and each file is replaced whole: killed anywhere, the conflist is the old one or the new one, and the next
run completes the work.
"""

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

from cni.installer import atomic_file
from cni.installer import record as records
from cni.installer.atomic_file import ChangedError
from cni.installer.conf_folder import SUFFIXES, Chosen, choose
from cni.installer.conflist import OUR_TYPE, ConflistError, find, ipam_text, put_back, swap
from cni.installer.folders import Folders
from cni.installer.host_root import below, follow
from cni.installer.record import Asked, Record

_TRIES = 5


class Plan(NamedTuple):
    """What holds, and what is to hold."""

    asked: Asked
    record: Record | None
    source: Path  # the file with the main plugin in it
    target: Path  # the file to be written: the source, or the copy
    name: str  # the node's name of that file; where it is a symbolic link, `target` is what it leads to
    before: str | None  # the target's text; None where it is missing
    after: str
    found: str  # the source's ipam type
    original: str | None  # its ipam value, unless that is ours
    source_back: str | None  # beside a copy: the source with the value that we once replaced, where ours is in it

    @property
    def is_first(self) -> bool:
        """Whether the node has not been swapped yet."""
        return self.record is None or self.record.given_back

    @property
    def is_undone(self) -> bool:
        """Whether somebody else has undone what held."""
        if self.is_first:
            return False
        if self.asked.as_name:
            return self.before is None and self.asked.as_name in self._copies
        return self.original is not None

    @property
    def why(self) -> str:
        """Say in a few words what makes it necessary to write a conflist; "" where all of them are right."""
        if self.is_undone and self.before is None:
            return "it was removed"
        if self.before is None:
            return "it is missing"
        if self.before != self.after and self.found == OUR_TYPE:
            return "its settings differ"
        if self.before != self.after and self.asked.as_name:
            return f"{self.source.name} has changed, or the settings have"
        if self.before != self.after:
            return f"ipam.type is {self.found}"
        return "what it replaces is still there" if self.source_back is not None or self._stale else ""

    @property
    def is_recorded(self) -> bool:
        """Whether the record says what holds."""
        return self.record is not None and self.record == self._next(self.record.applied)

    @property
    def _stale(self) -> set[str]:
        """The names of copies that are not wanted any more."""
        return set(self._copies) - {self.asked.as_name}

    @property
    def _copies(self) -> list[str]:
        return self.record.copies if self.record else []

    def _next(self, now: float) -> Record:
        old = self.record
        kept = old.original if old else None
        return Record(
            asked=self.asked,
            file=self.name,
            original=kept if self.original is None else self.original,
            written=_digest(self.after),
            since=old.since if old and not old.given_back else now,
            applied=now,
            reverts=(old.reverts if old else 0) + self.is_undone,
            copies=[self.asked.as_name] if self.asked.as_name else [],
        )


def plan(folders: Folders, asked: Asked, record: Record | None) -> Plan:
    """Read the folder and return what is to be done; ConflistError where that is not clear or not safe."""
    chosen = _choose(folders, asked, record)
    ours = chosen.delegation.ipam_type == OUR_TYPE
    original = None if ours else ipam_text(chosen.text, chosen.delegation)
    after = swap(chosen.text, chosen.delegation, asked.settings, force=asked.force)
    target = chosen.path
    before: str | None = chosen.text
    back = None
    if asked.as_name:
        target = folders.conf / asked.as_name
        before = _copy_text(target, chosen, asked, record)
        if ours and record and record.original is not None:
            back = put_back(chosen.text, chosen.delegation, record.original)
    found = chosen.delegation.ipam_type
    return Plan(
        asked,
        record,
        follow(folders.root, chosen.path),
        follow(folders.root, target),
        folders.on_node(target),
        before,
        after,
        found,
        original,
        back,
    )


def hold(folders: Folders, asked: Asked, record: Record | None) -> tuple[Plan, Record]:
    """Have the conflist as it was asked for; return what was planned and the new record.

    ConflistError: nothing was done. OSError: the old state, or a half that the next run completes.
    """
    for _ in range(_TRIES):
        made = plan(folders, asked, record)
        if made.is_recorded and not made.why:
            return made, made._next(record.applied if record else 0)
        try:
            return made, _apply(folders, made)
        except ChangedError:
            continue
    raise ConflistError(f"{made.name} is being written all the time: try again")


def _apply(folders: Folders, plan: Plan) -> Record:
    new = plan._next(time.time())
    records.write(folders.conf, new._replace(copies=sorted({*plan._stale, *new.copies})))
    if plan.before != plan.after:
        others = plan.before.encode() if plan.before and plan.target == plan.source else None  # a copy is ours alone
        atomic_file.replace(plan.target, plan.after.encode(), instead_of=others)
    if plan.source_back is not None:
        atomic_file.replace(plan.source, plan.source_back.encode())
    for name in plan._stale:
        atomic_file.remove(folders.conf / name)
    if plan._stale:
        records.write(folders.conf, new)
    return new


def give_back(folders: Folders, record: Record, *, force: bool = False) -> list[str]:
    """Put the original ipam value back and remove copies; say what was done. ConflistError: nothing was."""
    done = _give_source_back(folders, record, force)
    for path in [folders.conf / name for name in record.copies]:
        if not path.exists():
            continue
        if not _is_ours(path, record.asked.plugin_type):
            done.append(f"{folders.on_node(path)}: left, it is no longer ours")
            continue
        atomic_file.remove(path)
        done.append(f"{folders.on_node(path)}: removed")
    return done


def remove_copies(folders: Folders, record: Record) -> None:
    """Remove the copies, whose source is gone. OSError."""
    for name in record.copies:
        atomic_file.remove(folders.conf / name)
    records.write(folders.conf, record._replace(copies=[]))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as `Record.written` has it; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _choose(folders: Folders, asked: Asked, record: Record | None) -> Chosen:
    copies = {*(record.copies if record else []), asked.as_name}
    conf = below(folders.root, asked.conf) if asked.conf else None
    return choose(folders.conf, asked.plugin_type, conf, copies, folders.root)


def _give_source_back(folders: Folders, record: Record, force: bool) -> list[str]:
    try:
        chosen = _choose(folders, record.asked, record)
    except ConflistError as error:
        if record.copies or not record.file:
            return [f"{folders.on_node(folders.conf)}: left, {error}"]
        raise
    name = folders.on_node(chosen.path)
    if chosen.delegation.ipam_type != OUR_TYPE:
        return [f"{name}: left, its ipam.type is {chosen.delegation.ipam_type}"]
    original = record.original or ('{"type": "calico-ipam"}' if force else None)
    if original is None:
        text = f"{name} was ours before it was installed here, so what it held is not known: edit its ipam"
        raise ConflistError(f"{text}, or write calico-ipam with --force")
    changed = "" if record.copies or digest_of(chosen.path) == record.written else " (the rest has changed since: kept)"
    atomic_file.replace(follow(folders.root, chosen.path), put_back(chosen.text, chosen.delegation, original).encode())
    return [f"{name}: has its ipam back{changed}"]


def _copy_text(target: Path, source: Chosen, asked: Asked, record: Record | None) -> str | None:
    """Return the text of the copy that is there; ConflistError where it can or may not be one."""
    name = asked.as_name
    if Path(name).name != name or target.suffix != source.path.suffix or target.suffix not in SUFFIXES:
        raise ConflistError(f"--as {name}: want a file name that ends in {source.path.suffix}, as its source does")
    if not name < source.path.name:
        raise ConflistError(f"--as {name}: want a name that sorts before its source, {source.path.name}")
    if not target.exists():
        return None
    if not (record and name in record.copies) and not _is_ours(target, asked.plugin_type):
        raise ConflistError(f"--as {name}: there is such a file, and it is not ours: choose another name")
    return target.read_bytes().decode(errors="replace")


def _is_ours(path: Path, plugin_type: str) -> bool:
    try:
        found = find(path.read_bytes().decode(), plugin_type)
    except (ConflistError, UnicodeDecodeError):
        return False
    return any(delegation.ipam_type == OUR_TYPE for delegation in found)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
