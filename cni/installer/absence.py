"""What watch does while the recorded conflist is missing: it waits, has another one stand in for it, or takes the node
for emptied. Side effects: reads the folder of network configurations; removes our copies, and writes the record.
"""

from collections.abc import Callable
from dataclasses import replace

from cni.contracts.installation import Desired, Record
from cni.installer.conflist import record as records
from cni.installer.conflist.document import ConflistError, NoneFoundError, SeveralFoundError
from cni.installer.conflist.plan import Plan, plan
from cni.installer.conflist.restore import remove_copies
from cni.installer.graces import Graces
from cni.installer.log_line import WARN
from cni.installer.node.folders import Folders


class SourceGoneError(NoneFoundError):
    """The recorded file is missing, and no other one can stand in for it."""


def plan_with_stand_in(
    folders: Folders, desired: Desired, record: Record | None, graces: Graces, grace: float, log: Callable[[str], None]
) -> Plan:
    """Return the plan; another file stands in for the recorded one where that was missing for `grace` seconds.

    Where there was none for so long either, the node was emptied. What else is in the folder does not matter then.
    ConflistError, OSError.
    """
    try:
        return plan(folders, desired, record, may_stand_in=False)
    except NoneFoundError as missing:
        left = graces.left(missing, grace)
        try:
            planned = plan(folders, desired, record)
        except SeveralFoundError:
            raise
        except ConflistError as error:
            fault = SourceGoneError(str(error))
            if record and not graces.left(fault, grace):
                _note_emptied(folders, record, log)
            raise fault from None
        if left:
            raise
        return planned


def _note_emptied(folders: Folders, record: Record, log: Callable[[str], None]) -> None:
    """Remove the copies, and write down that the next swap waits for the agent: a later watch may be what makes it.

    A record that was lost with all that is gone tells that by itself.
    """
    for line in remove_copies(folders, record):
        log(f"{WARN}{line}: its source is gone")
    if (record.copies or not record.emptied) and not records.is_lost(folders):
        records.write(folders, replace(record, copies=[], emptied=True))
