"""The record of an installation (contracts/installation.py). Side effects: one file in the folder of conflists, and a
copy of it in the state folder (node/installed.py).

The file's name begins with a dot and has none of the endings that runtimes load. What is going to be replaced is
written down here before the conflist is written, so that a run that is killed in between has lost nothing. The copy
heals a record that is lost or damaged; otherwise the record wins, because release 0.1.0 writes no copy.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from cni.contracts.installation import RECORD, Installation, Record
from cni.installer.errors import InstallerError, first_fault
from cni.installer.node import atomic_file, installed
from cni.installer.node.folders import Folders

NAME = ".spiderpool-ipam.swap"


class RecordError(InstallerError):
    """The record cannot be used, or not be written."""


def is_in(folder: Path) -> bool:
    """Tell whether a folder of conflists has a record."""
    return (folder / NAME).exists()


def exists(folders: Folders) -> bool:
    """Tell whether there is a record, or the copy of one that was lost."""
    return is_in(folders.conf) or _copy(folders) is not None


def read(folders: Folders) -> Record | None:
    """Return the record, or its copy where it is lost or damaged. RecordError where there is no copy; OSError."""
    record, fault = _read(folders)
    if record is None:
        record = _copy(folders)
    if record is None and fault:
        path = folders.name_of(folders.conf / NAME)
        raise RecordError(
            f"{path} is damaged ({fault}), and there is no copy of it: put the ipam value that it has as `original`"
            f" back into the conflist, remove {path} and install again; or take the plugin away with uninstall --force"
        )
    return record


def is_lost(folders: Folders) -> bool:
    """Tell whether the record is missing or damaged, and its copy is there. OSError."""
    return _read(folders)[0] is None and _copy(folders) is not None


def is_whole(folders: Folders) -> bool:
    """Tell whether the record and its copy are there, and say the same. OSError."""
    record = _read(folders)[0]
    return record is not None and record == _copy(folders)


def write(folders: Folders, record: Record) -> None:
    """Write the record and its copy, durably. RecordError, OSError."""
    text = json.dumps(RECORD.dump_python(record, by_alias=True), indent=1, ensure_ascii=False)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        path = folders.name_of(folders.conf / NAME)
        raise RecordError(f"{path} cannot be written: a file name that was given is not UTF-8") from None
    known = installed.read(folders.state) or Installation(folders.bin_name, folders.conf_name)
    installed.write(folders.state, Installation(known.bin, known.conf, record))
    atomic_file.replace(folders.conf / NAME, data)


def remove(folders: Folders) -> None:
    """Remove the record and its copy, durably."""
    atomic_file.remove(folders.conf / NAME)
    known = installed.read(folders.state)
    if known and known.record:
        installed.write(folders.state, Installation(known.bin, known.conf))


def paths(folders: Folders, record: Record | None) -> list[Path]:
    """Return the files that a record names, links followed; --conf may have named one elsewhere. OSError."""
    names = (record.file, record.source, record.desired.conf, *record.also) if record else ()
    return [folders.root.resolve(name) for name in dict.fromkeys(names) if "/" in name]


def _read(folders: Folders) -> tuple[Record | None, str]:
    """Return the record beside the conflists, or what is wrong with it. OSError where it cannot be read."""
    try:
        return RECORD.validate_json((folders.conf / NAME).read_bytes(), strict=True), ""
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except ValidationError as error:
        return None, first_fault(error)


def _copy(folders: Folders) -> Record | None:
    known = installed.read(folders.state)
    is_of_these = known is not None and folders.root.resolve(known.conf) == folders.conf
    return known.record if known and is_of_these else None
