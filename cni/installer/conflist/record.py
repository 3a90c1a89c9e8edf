"""The record of an installation (contracts/installation.py). Side effect: one file in the folder of conflists.

The file's name begins with a dot and has none of the endings that runtimes load. What is going to be replaced is
written down here before the conflist is written, so that a run that is killed in between has lost nothing.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from cni.contracts.installation import RECORD, Record
from cni.installer.errors import InstallerError, first_fault
from cni.installer.node import atomic_file

NAME = ".spiderpool-ipam.swap"


class RecordError(InstallerError):
    """The record cannot be used, or not be written."""


def exists(folder: Path) -> bool:
    """Tell whether the folder has a record."""
    return (folder / NAME).exists()


def read(folder: Path) -> Record | None:
    """Return the folder's record. RecordError where it is damaged, OSError where it cannot be read."""
    path = folder / NAME
    try:
        return RECORD.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise RecordError(
            f"{path} cannot be used ({first_fault(error)}): put the ipam value that it has as `original` back into the"
            " conflist, move it away and install again"
        ) from None


def write(folder: Path, record: Record) -> None:
    """Write the record, durably. RecordError, OSError."""
    path = folder / NAME
    text = json.dumps(RECORD.dump_python(record, by_alias=True), indent=1, ensure_ascii=False)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise RecordError(f"{path} cannot be written: a file name that was given is not UTF-8") from None
    atomic_file.replace(path, data)


def remove(folder: Path) -> None:
    """Remove the record, durably."""
    atomic_file.remove(folder / NAME)
