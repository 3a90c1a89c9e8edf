"""What was asked for on this node, and what the conflist held before. Side effect: one file in the folder of conflists.

Its name begins with a dot and has none of the endings that runtimes load. It is written before the conflist is: a run
that is killed in between has lost nothing.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from cni.installer import atomic_file

NAME = ".spiderpool-ipam.swap"


class RecordError(Exception):
    """The file is there and cannot be used; one line."""


class Asked(NamedTuple):
    """What install was asked to hold."""

    plugin_type: str = "calico"
    conf: str = ""  # --conf, as the node calls the file
    as_name: str = ""  # --as; "" is in place
    settings: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    force: bool = False


class Record(NamedTuple):
    """What holds on the node."""

    asked: Asked
    file: str  # what holds our ipam, as the node calls it
    original: str | None  # the ipam value that ours replaced; None where it was ours already
    written: str  # SHA-256 of that file as we wrote it
    since: float  # Unix seconds of the first swap
    applied: float  # and of the last
    copies: list[str]  # names of copies that may be there: with --as one, while it is being renamed two
    reverts: int = 0  # how often it was undone by others
    given_back: bool = False  # uninstall was here, though the plugin had to stay


def read(folder: Path) -> Record | None:
    """Return the folder's record; RecordError where it is damaged, OSError where it cannot be read."""
    path = folder / NAME
    try:
        members = json.loads(path.read_bytes())
        return Record(**{**members, "asked": Asked(**members["asked"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"{path} cannot be used, move it away and install again: {error}") from None


def write(folder: Path, record: Record) -> None:
    """Write the record, durably."""
    text = json.dumps({**record._asdict(), "asked": record.asked._asdict()}, indent=1)
    atomic_file.replace(folder / NAME, text.encode())


def forget(folder: Path) -> None:
    """Remove the record, durably."""
    atomic_file.remove(folder / NAME)
