"""The one error type of the installer: what the operator gets as one line on stderr."""

from typing import TYPE_CHECKING

from cni.contracts import faults

if TYPE_CHECKING:
    from pydantic import ValidationError


class InstallerError(Exception):
    """Why the work cannot be done: one line that says what was found and what to do."""


def first_fault(error: "ValidationError") -> str:
    """Return the first thing that pydantic found wrong, on one line; pydantic's own text has several."""
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), faults.message(first))))
