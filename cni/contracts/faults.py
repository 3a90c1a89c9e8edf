"""What pydantic says of a document, without its own prefixes. Pure."""

from collections.abc import Mapping
from typing import Any


def message(fault: Mapping[str, Any]) -> str:
    """Return the text of one of `ValidationError.errors()`. To those of our own rules, pydantic adds a prefix."""
    text: str = fault["msg"]
    return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
