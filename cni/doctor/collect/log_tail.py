"""Reads the last lines of the plugin's log, as far as they are ours. Side effect: reads the file.

The log may have 100 MB, and upstream's plugin writes into the same file. Lines that do not keep the contract are left
out: what is in them is not known.
"""

import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cni import input_file
from cni.contracts.log import LogLine

_BYTES = 1 << 18
_LINES = 200

_LINE = TypeAdapter(LogLine)


def read(path: Path) -> list[LogLine]:
    """Return the last lines; none where there is no log yet. OSError."""
    what = input_file.kind(path)
    if what == input_file.MISSING:
        return []
    if what:
        raise input_file.NotReadableError(path, what)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor)
        file.seek(max(0, os.fstat(descriptor).st_size - _BYTES))
        lines = file.read(_BYTES).splitlines()
    return [line for text in lines[-_LINES:] if (line := _parse(text))]


def _parse(text: bytes) -> LogLine | None:
    try:
        return _LINE.validate_json(text, strict=True)
    except ValidationError:
        return None
