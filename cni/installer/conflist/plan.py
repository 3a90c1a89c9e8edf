"""Calico's conflist on disk: what is to be written, writing it, giving it back. Side effects: that file, the record.

In place, or as a copy under a name that sorts first and holds the same network. Whatever is to be lost later is written
down before, and each file is replaced whole: killed anywhere, the conflist is the old one or the new one, and the next
run completes the work.
"""

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cni.installer.conflist import record as records
from cni.installer.conflist.document import (
    OUR_TYPE,
    ConflistError,
    NoneFoundError,
    find,
    ipam_text,
    ipam_type,
    put_back,
    swap,
)
from cni.installer.conflist.folder import SUFFIXES, Chosen, choose
from cni.installer.conflist.record import Asked, Record
from cni.installer.node import atomic_file
from cni.installer.node.atomic_file import ChangedError
from cni.installer.node.folders import Folders
from cni.installer.node.host_root import below, follow

_TRIES = 5
_FORCED = '{"type": "calico-ipam"}'


class Change(NamedTuple):
    """A file to be written."""

    path: Path  # what it leads to, where it is a symbolic link
    name: str  # the node's name of it
    before: str | None  # its text; None where it is missing
    after: str | None  # None: it is to be removed


class Plan(NamedTuple):
    """What holds, and what is to hold."""

    asked: Asked
    record: Record | None
    source: Chosen  # the file with the main plugin in it
    theirs: str  # its ipam value, as it is without us
    value: str  # our ipam value
    target: Change  # the file that is to hold it: the source, or the copy
    rest: list[Change]  # what another way than this one has left

    @property
    def is_first(self) -> bool:
        """Whether the node is not swapped yet."""
        return self.record is None or not self.record.is_in_force

    @property
    def is_undone(self) -> bool:
        """Whether somebody else has undone what held."""
        if self.record is None or not self.record.is_in_force or self.target.before == self.target.after:
            return False
        if self.asked.as_name:
            return self.asked.as_name in self.record.copies and _digest(self.target.before) != self.record.written
        return self.record.original is not None and self.source.delegation.ipam_type != OUR_TYPE

    @property
    def why(self) -> str:
        """Say in a few words what makes it necessary to write a conflist; "" where all of them are right."""
        if self.target.before == self.target.after:
            return "what it replaces is still there" if self.rest else ""
        if self.target.before is None:
            return "it was removed" if self.is_undone else "it is missing"
        if self.asked.as_name:
            changed = f"{self.source.path.name} has changed, or the settings have"
            return "it was overwritten" if self.is_undone else changed
        found = self.source.delegation.ipam_type
        return "its settings differ" if found == OUR_TYPE else f"ipam.type is {found}"

    @property
    def settings(self) -> dict[str, Any]:
        """What our ipam object says."""
        try:
            return dict(json.loads(self.value))
        except (ValueError, RecursionError):  # something too huge or too deep beside what is ours
            return self.asked.settings

    @property
    def is_recorded(self) -> bool:
        """Whether the record says what holds."""
        return self.record is not None and self.record == self.holding(self.record.applied)

    def keeping(self) -> Record:
        """Return the record to be written before anything else is: what is going to be lost, what may be there."""
        old = self.record or Record(self.asked, self.target.name)
        name = self.asked.as_name
        return old._replace(
            original=old.original if name else self.theirs,
            values=sorted({*old.values, *([] if name else [self.value])}),
            copies=sorted({*old.copies, *([name] if name else [])}),
        )

    def holding(self, now: float) -> Record:
        """Return the record to be written when all is done."""
        old = self.record if self.record and self.record.is_in_force else None
        name = self.asked.as_name
        return Record(
            asked=self.asked,
            file=self.target.name,
            original=None if name else self.theirs,
            values=[] if name else [self.value],
            written=_digest(self.target.after),
            since=old.since if old else now,
            applied=now,
            copies=[name] if name else [],
            reverts=(old.reverts if old else 0) + self.is_undone,
        )


def plan(folders: Folders, asked: Asked, record: Record | None) -> Plan:
    """Read the folder and return what is to be done; ConflistError where that is not clear or not safe."""
    source = _choose(folders, asked, record)
    there = source.delegation
    theirs = _theirs(source, record)
    after = swap(source.text, there, asked.settings, force=asked.force, theirs=theirs)
    value = after[there.ipam.start : len(after) - len(source.text) + there.ipam.end]
    own = Change(follow(folders.root, source.path), folders.on_node(source.path), source.text, after)
    rest = []
    if asked.as_name:
        back = put_back(source.text, there, theirs)
        rest += [own._replace(after=back)] if back != source.text else []
        path = folders.conf / asked.as_name
        own = Change(follow(folders.root, path), folders.on_node(path), _copy_text(path, source, asked, record), after)
    for name in sorted(set(record.copies if record else ()) - {asked.as_name}):
        path = folders.conf / name
        if _is_ours(path, asked.plugin_type):
            rest.append(Change(path, folders.on_node(path), _text(path), None))
    return Plan(asked, record, source, theirs, value, own, rest)


def hold(folders: Folders, asked: Asked, record: Record | None) -> Plan:
    """Have the conflist as it was asked for; return what was planned.

    ConflistError: nothing was done. OSError: the old state, or a half that the next run completes.
    """
    for _ in range(_TRIES):
        made = plan(folders, asked, record)
        if made.is_recorded and not made.why:
            return made
        with suppress(ChangedError):
            _apply(folders, made)
            return made
    raise ConflistError(f"{made.target.name} is being written all the time: try again")


def _apply(folders: Folders, plan: Plan) -> None:
    kept = plan.keeping()
    if kept != plan.record:
        records.write(folders.conf, kept)
    try:
        for change in (plan.target, *plan.rest):
            _write(change)
    except (OSError, ChangedError):
        if digest_of(plan.target.path) != _digest(plan.target.after):  # it has not come to anything
            with suppress(OSError):
                records.write(folders.conf, plan.record) if plan.record else records.forget(folders.conf)
        raise
    records.write(folders.conf, plan.holding(time.time()))


def _write(change: Change) -> None:
    if change.after is None:
        atomic_file.remove(change.path)
    elif change.after != change.before:
        before = None if change.before is None else _bytes(change.before)
        atomic_file.replace(change.path, _bytes(change.after), instead_of=before)


def give_back(folders: Folders, record: Record | None, *, force: bool = False) -> list[str]:
    """Remove copies, and put the original ipam value back; say what was done.

    `force` writes calico-ipam where the conflist would name our plugin still. ConflistError: the source is as it was.
    """
    done = remove_copies(folders, record) if record else []
    for _ in range(_TRIES):
        with suppress(ChangedError):
            return [*done, *_give_source_back(folders, record, force)]
    raise ConflistError(f"the conflist in {folders.conf_name} is being written all the time: try again")


def remove_copies(folders: Folders, record: Record) -> list[str]:
    """Remove the copies that are still ours; say what was done. OSError."""
    done = []
    for path in [folders.conf / name for name in record.copies]:
        if _is_ours(path, record.asked.plugin_type):
            atomic_file.remove(path)
            done.append(f"{folders.on_node(path)}: removed")
        elif path.exists():
            done.append(f"{folders.on_node(path)}: left, it is no longer ours")
    return done


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as `Record.written` has it; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _choose(folders: Folders, asked: Asked, record: Record | None) -> Chosen:
    copies = set(record.copies if record else [])
    if asked.as_name and _is_ours(folders.conf / asked.as_name, asked.plugin_type):
        copies.add(asked.as_name)
    conf = _conf_path(folders, asked.conf) if asked.conf else None
    return choose(folders.conf, asked.plugin_type, conf, copies, folders.root)


def _conf_path(folders: Folders, conf: str) -> Path:
    """Return the file that --conf names: a path of the node, or a name in the folder of conflists."""
    if Path(conf).parent in (Path(), Path(folders.conf_name)):
        return folders.conf / Path(conf).name
    return below(folders.root, conf)


def _theirs(source: Chosen, record: Record | None) -> str:
    """Return the source's ipam value as it is without us: the one that was kept, if what is there is ours.

    A value that names our plugin is others' where nothing is kept (the Go plugin was here before, or Calico's own
    configuration says so), or where they have written another than ours in the place of one that did.
    """
    there = ipam_text(source.text, source.delegation)
    if record is None or record.original is None or source.delegation.ipam_type != OUR_TYPE:
        return there
    return record.original if there in record.values or ipam_type(record.original) != OUR_TYPE else there


def _give_source_back(folders: Folders, record: Record | None, force: bool) -> list[str]:
    try:
        source = _source(folders, record)
    except ConflistError as error:
        if isinstance(error, NoneFoundError) or (record and record.original is None):
            return [f"{folders.conf_name}: left, {error}"]
        raise
    name, there = folders.on_node(source.path), source.delegation
    if there.ipam_type != OUR_TYPE:
        return [f"{name}: left, its ipam.type is {there.ipam_type}"]
    if record is None and not force:
        text = f"{name} names spiderpool, and what it held before is not recorded: edit its ipam"
        raise ConflistError(f"{text}, or write calico-ipam with --force")
    theirs = _theirs(source, record)
    if force and ipam_type(theirs) == OUR_TYPE:
        theirs = _FORCED
    text = put_back(source.text, there, theirs)
    if text == source.text:
        return [f"{name}: left, its ipam was that before us"]
    rest = "" if digest_of(source.path) == (record.written if record else "") else " (the rest has changed since: kept)"
    atomic_file.replace(follow(folders.root, source.path), _bytes(text), instead_of=_bytes(source.text))
    return [f"{name}: has its ipam back{rest}"]


def _source(folders: Folders, record: Record | None) -> Chosen:
    """Choose the file that was swapped; where it is that no more, as install does."""
    asked = record.asked if record else Asked()
    if record and record.original is not None and Path(record.file).name not in record.copies:
        with suppress(ConflistError):
            return _choose(folders, asked._replace(conf=record.file), record)
    return _choose(folders, asked, record)


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
    return _text(target)


def _is_ours(path: Path, plugin_type: str) -> bool:
    try:
        found = find(path.read_bytes().decode(), plugin_type)
    except (FileNotFoundError, IsADirectoryError, ConflistError, UnicodeDecodeError):
        return False
    return any(delegation.ipam_type == OUR_TYPE for delegation in found)


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")  # a copy may hold anything meanwhile


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _digest(text: str | None) -> str:
    return "" if text is None else hashlib.sha256(_bytes(text)).hexdigest()
