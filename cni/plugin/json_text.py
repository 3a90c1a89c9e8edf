"""Writes JSON (RFC 8259). Pure. Takes the place of `json`, whose import costs 6 ms."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# U+0085, U+2028 and U+2029 are legal in JSON, but end a line for some readers of logs and events.
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029)}
_ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"})


def encode(value: "Any") -> bytes:
    """Encode dicts with string keys, lists, tuples, strings, ints, booleans and None as UTF-8."""
    # A lone surrogate has no UTF-8 form and becomes "?".
    return _text(value).encode("utf-8", "replace")


def _text(value: "Any") -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.translate(_ESCAPES) + '"'
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, dict):
        return "{" + ",".join([_text(key) + ":" + _text(item) for key, item in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_text(item) for item in value]) + "]"
    raise TypeError(f"no JSON form for {type(value)}")
