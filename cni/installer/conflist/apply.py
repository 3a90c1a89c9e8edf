"""Write what was planned. Side effects: the conflist, the record beside it.

The order: the record of what is going to be lost, the file that is to hold our ipam, what is left of an earlier
installation, the record of what holds now. Each file is replaced as a whole, so that a run that is killed anywhere
leaves the old conflist or the new one, and the next run completes the work.
"""

import time
from contextlib import suppress

from cni.installer.conflist import record as records
from cni.installer.conflist.copies import Change
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import read_contents
from cni.installer.conflist.plan import Plan, digest, plan
from cni.installer.node import atomic_file
from cni.installer.node.atomic_file import ChangedError

TRIES = 5


def reconcile(planned: Plan) -> Plan:
    """Apply the plan; where a file has changed since, plan anew and apply that. Return the plan that was applied.

    ConflistError: nothing was done. OSError: nothing was done, or a half that the next run completes.
    """
    for _ in range(TRIES):
        with suppress(ChangedError):
            apply(planned)
            return planned
        planned = plan(planned.folders, planned.desired, planned.record)
    raise ConflistError(f"{planned.target.name} is being written all the time: try again")


def apply(planned: Plan) -> None:
    """Write exactly what was planned, and nothing where all of it holds already.

    ChangedError: a file is not any more what was planned from. OSError.
    """
    _require_unchanged(planned)
    folders, before = planned.folders, planned.record_before()
    if planned.is_recorded and not planned.message and not records.is_lost(folders):
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
        atomic_file.remove(change.path)
    elif change.is_needed:
        atomic_file.replace(change.path, change.after, instead_of=change.before)


def _is_written(change: Change) -> bool:
    with suppress(OSError):
        return digest(change.path.read_bytes()) == digest(change.after)
    return False
