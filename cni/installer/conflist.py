"""A CNI network configuration (list) as text: where its `ipam` value stands, and what it is replaced by. Pure.

CNI specification section 1. The file is never serialised anew: the value's span is replaced and every other byte stays,
credentials, key order and cniVersion among them.
"""

import json
from typing import Any, NamedTuple

from cni.installer.json_spans import NotJsonError, Value, parse

OUR_TYPE = "spiderpool"
# What Calico's own plugin is set up with. Anything else is somebody's decision, not undone unasked.
REPLACED_TYPES = ("calico-ipam", "host-local", OUR_TYPE)


class ConflistError(ValueError):
    """Why a file is not swapped: one line that says what was found."""


class NoneFoundError(ConflistError):
    """There is no such plugin, and no file that could not be read either."""


class Delegation(NamedTuple):
    """The plugin object that delegates IPAM, in one file."""

    network: str
    ipam_type: str
    ipam: Value


def find(text: str, plugin_type: str) -> list[Delegation]:
    """Return the objects of `plugin_type` in a conflist or a single configuration; raise ConflistError."""
    top, plugins = _plugins(text)
    return [_delegation(plugin, top) for plugin in plugins if _text(plugin, "type") == plugin_type]


def plugin_types(text: str) -> set[str]:
    """Return the types of the plugins in a conflist or a single configuration; raise ConflistError."""
    return {_text(plugin, "type") for plugin in _plugins(text)[1]}


def _plugins(text: str) -> tuple[dict[str, Value], list[dict[str, Value]]]:
    try:
        document = parse(text)
    except NotJsonError as error:
        raise ConflistError(str(error)) from None
    top = _keys(document, "the file")
    plugins = top["plugins"].content if "plugins" in top else [document]
    if not isinstance(plugins, list):
        raise ConflistError("its plugins are not a list")
    return top, [_keys(plugin, "a plugin") for plugin in plugins]


def swap(text: str, delegation: Delegation, settings: dict[str, Any], *, force: bool = False) -> str:
    """Return the text with our `ipam` object; the same text where it says that already. ConflistError for others'."""
    if delegation.ipam_type not in REPLACED_TYPES and not force:
        known = ", ".join(REPLACED_TYPES)
        raise ConflistError(f"its ipam.type is {delegation.ipam_type!r}, which is none of {known}; --force replaces it")
    wanted = {"type": OUR_TYPE, **settings}
    if _says(ipam_text(text, delegation), wanted):
        return text
    return put_back(text, delegation, json.dumps(wanted, ensure_ascii=False))


def _says(ipam: str, wanted: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(ipam) == wanted)
    except (ValueError, RecursionError):
        return False  # ours is neither deep nor huge


def ipam_text(text: str, delegation: Delegation) -> str:
    """Return the `ipam` value as it stands."""
    return text[delegation.ipam.start : delegation.ipam.end]


def put_back(text: str, delegation: Delegation, ipam: str) -> str:
    """Return the text with the `ipam` value replaced by this text."""
    return text[: delegation.ipam.start] + ipam + text[delegation.ipam.end :]


def _delegation(plugin: dict[str, Value], top: dict[str, Value]) -> Delegation:
    if "ipam" not in plugin:
        raise ConflistError("its plugin has no ipam")
    return Delegation(_text(top, "name"), _text(_keys(plugin["ipam"], "the ipam"), "type"), plugin["ipam"])


def _keys(value: Value, what: str) -> dict[str, Value]:
    """Return an object's members. Go matches keys without case, and which of two it takes is nobody's to guess."""
    if not isinstance(value.content, tuple):
        raise ConflistError(f"{what} is not an object")
    members: dict[str, Value] = dict(value.content)
    folded = [key.casefold() for key, _ in value.content]
    twice = sorted({key for key in folded if folded.count(key) > 1})
    if twice:
        raise ConflistError(f"{what} has the key {twice[0]!r} more than once (upper and lower case are the same)")
    variants = [key for key in members if key.lower() in ("type", "ipam", "plugins", "name") and key != key.lower()]
    if variants:
        raise ConflistError(f"{what} has {variants[0]!r} for {variants[0].lower()!r}")
    return members


def _text(members: dict[str, Value], key: str) -> str:
    content = members[key].content if key in members else ""
    return content if isinstance(content, str) else ""
