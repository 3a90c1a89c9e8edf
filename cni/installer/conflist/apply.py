"""Write what was planned. Side effects: the conflist, the record beside it.

The order: the record of what is going to be lost, the file that is to hold our ipam, what is left of an earlier
installation, the record of what holds now. Each file is replaced as a whole, so that a run that is killed anywhere
leaves the old conflist or the new one, and the next run completes the work. What was replaced is looked at again, so
that nothing is lost that Calico writes meanwhile (node/atomic_file.py).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from cni.contracts.installation import Record
from cni.deadline import Deadline
from cni.installer.conflist import record as records
from cni.installer.conflist.copies import Change
from cni.installer.conflist.document import ConflistError, UnfinishedError
from cni.installer.conflist.folder import read_contents
from cni.installer.conflist.plan import Plan, plan
from cni.installer.conflist.source import digest
from cni.installer.node import atomic_file
from cni.installer.node.atomic_file import ChangedError
from cni.installer.node.folders import Folders

TRIES = 5
FINISHED_IN = 3.0  # seconds that others have to write the rest of a file
_PAUSE = 0.05  # seconds until the next look at it

T = TypeVar("T")


def reconcile(planned: Plan, *, wait: bool = False) -> Plan:
    """Apply the plan; where a file has changed since, plan anew and apply that. Return the plan that was applied.

    With `wait`, return when it is sure that nobody was writing to what was replaced, a second later; without, call
    `settle` then. ConflistError: nothing was done. OSError: nothing was done, or a half that the next run completes.
    """
    first, unfinished = planned, Deadline(FINISHED_IN if wait else 0)
    for _ in range(TRIES):
        with suppress(ChangedError):
            settle(planned.folders, planned.record_before())
            apply(planned)
            if wait:
                wait_until_settled(planned.folders, planned.record_before())
            return planned
        # By the record as it is now: what was there before us may have been written down by the last try.
        planned = when_finished(lambda: plan(first.folders, first.desired, records.read(first.folders)), unfinished)
    raise ConflistError(f"{planned.target.name} is being written all the time: try again")


def settle(folders: Folders, record: Record | None) -> float:
    """Look again at what was replaced; return in how many seconds to do so once more, 0 if that is not needed.

    ChangedError: others have written to it, and it is the conflist again. OSError.
    """
    written = {folders.conf, *(path.parent for path in records.paths(folders, record))}
    return max(atomic_file.settle(folder) for folder in sorted(written))


def wait_until_settled(folders: Folders, record: Record | None) -> None:
    """Look again until it is sure that nobody was writing to what was replaced. ChangedError, OSError."""
    while seconds := settle(folders, record):
        time.sleep(seconds)


def when_finished(look: Callable[[], T], deadline: Deadline) -> T:
    """Return what `look` returns; until the deadline, wait while a file is half-written. UnfinishedError."""
    while True:
        try:
            return look()
        except UnfinishedError:
            if not deadline.left():
                raise
        deadline.sleep(_PAUSE)


def apply(planned: Plan) -> None:
    """Write exactly what was planned, and nothing where all of it holds already.

    ChangedError: a file is not any more what was planned from. OSError.
    """
    _require_unchanged(planned)
    folders, before = planned.folders, planned.record_before()
    if planned.is_recorded and not planned.message and records.is_whole(folders):
        return
    if before != planned.record:
        records.write(folders, before)
    try:
        for change in (planned.target, *planned.also, *planned.leftovers):
            _write(change)
    except (OSError, ChangedError):
        if not _is_written(planned.target):
            with suppress(OSError):
                records.write(folders, planned.record) if planned.record else records.remove(folders)
        raise
    records.write(folders, planned.record_after(time.time()))


def _require_unchanged(planned: Plan) -> None:
    """Raise ChangedError where the folder is not what was planned from: install waits for the agent in between."""
    contents = read_contents(planned.folders, planned.source.path)
    now = {path: data for path, data in contents.items() if isinstance(data, bytes)}
    if now != {file.path: file.data for file in planned.files if not isinstance(file.fault, OSError)}:
        raise ChangedError


def _write(change: Change) -> None:
    if change.after is None:
        atomic_file.remove(change.path, instead_of=change.before)
    elif change.before is None:
        atomic_file.create(change.path, change.after)
    elif change.is_needed:
        atomic_file.replace(change.path, change.after, instead_of=change.before)


def _is_written(change: Change) -> bool:
    with suppress(OSError):
        return digest(change.path.read_bytes()) == digest(change.after)
    return False
