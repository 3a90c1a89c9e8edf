"""What was asked for on this node, and what the conflist held before. Side effect: one file in the folder of conflists.

Its name begins with a dot and has none of the endings that runtimes load. What is to be replaced is written down here
before the conflist is: a run that is killed in between has lost nothing.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from cni.installer.node import atomic_file

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
    original: str | None = (
        None  # the bytes of the ipam value that ours replaced in place; None: nothing is to be put back
    )
    values: list[str] = []  # noqa: RUF012  (never changed)  # ours that may be there: one, while it is replaced two
    written: str = ""  # SHA-256 of that file as we wrote it
    since: float = 0  # Unix seconds of the first swap; 0: it has not come to that
    applied: float = 0  # and of the last
    copies: list[str] = []  # noqa: RUF012  # names of copies that may be there: with --as one, while it is renamed two
    reverts: int = 0  # how often it was undone by others
    given_back: bool = False  # uninstall was here, though the plugin had to stay

    @property
    def is_in_force(self) -> bool:
        """Whether the node is swapped, and to be held so."""
        return self.since > 0 and not self.given_back


_ASKED_KINDS = {"plugin_type": str, "conf": str, "as_name": str, "settings": dict, "force": bool}
_KINDS: dict[str, Any] = {
    "asked": dict, "file": str, "original": str | None, "values": list, "written": str, "since": float | int,
    "applied": float | int, "copies": list, "reverts": int, "given_back": bool,
}  # fmt: skip


def read(folder: Path) -> Record | None:
    """Return the folder's record; RecordError where it is damaged, OSError where it cannot be read."""
    path = folder / NAME
    try:
        members = _known(json.loads(path.read_bytes()), _KINDS)
        for text in [*members.get("values", []), *members.get("copies", [])]:
            _known({"file": text}, _KINDS)
        return Record(**{**members, "asked": Asked(**_known(members["asked"], _ASKED_KINDS))})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError(
            f"{path} cannot be used ({error}): put the ipam value that it has as `original` back into the conflist,"
            " move it away and install again"
        ) from None


def _known(members: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """Return the members that this version knows (a later one may have written it); TypeError for a wrong kind."""
    for key, value in members.items():
        if key in kinds and not isinstance(value, kinds[key]):
            raise TypeError(f"{key} is {type(value).__name__}")
    return {key: value for key, value in members.items() if key in kinds}


def write(folder: Path, record: Record) -> None:
    """Write the record, durably."""
    text = json.dumps({**record._asdict(), "asked": record.asked._asdict()}, indent=1)
    atomic_file.replace(folder / NAME, text.encode())


def forget(folder: Path) -> None:
    """Remove the record, durably."""
    atomic_file.remove(folder / NAME)
