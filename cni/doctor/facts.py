"""Reads the document of facts by dotted names, as "node.agent". Pure.

A fact that is not known raises NotKnown, which run.py turns into "not checked, because".
"""

from collections.abc import Collection
from typing import Any

from cni.contracts.facts import Facts, Unknown


class NotKnown(Exception):  # noqa: N818  (no error: a check that cannot be made)
    """Why a fact is not known."""


class UndeclaredError(Exception):
    """A fact was looked at that was not declared, so that it may not have been read: a mistake of the check."""


class FactReader:
    """The facts that a check looks at."""

    def __init__(self, facts: Facts, declared: Collection[str] | None = None) -> None:
        """Read this document: only the facts of these names, where they are given."""
        self._facts = facts
        self._declared = declared

    def value(self, name: str) -> Any:
        """Return a fact's value, of the type that contracts/facts.py gives it. NotKnown, UndeclaredError."""
        if self._declared is not None and name not in self._declared:
            raise UndeclaredError(f"it looks at {name}, and does not declare it")
        part, _, key = name.partition(".")
        section: dict[str, Any] = dict(self._facts[part])  # type: ignore[literal-required]
        if key not in section:
            raise NotKnown(f"{name} was not read by release {self._facts['version']}")
        value = section[key]
        if is_unknown(value):
            raise NotKnown(value["unknown"])
        return value

    @property
    def collected_at(self) -> float:
        """When they were read, as Unix time."""
        return self._facts["collected_at"]

    def value_or(self, name: str, otherwise: Any) -> Any:
        """Return a fact's value, or something else where it is not known. UndeclaredError."""
        try:
            return self.value(name)
        except NotKnown:
            return otherwise


def is_unknown(value: Any) -> bool:
    """Tell whether a fact is not known."""
    return isinstance(value, dict) and value.keys() == {"unknown"}


def unknown(because: str) -> Unknown:
    """Return a fact that is not known."""
    return {"unknown": because}
