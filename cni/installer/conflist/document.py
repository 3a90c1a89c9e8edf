"""A CNI network configuration (list) as text: where its `ipam` value stands, and what it is replaced by. Pure.

CNI specification section 1. The file is never serialised anew: the value's span is replaced and every other byte stays,
credentials, key order and cniVersion among them.
"""

import json
from typing import Any, NamedTuple

from cni.installer.conflist.json_spans import NotJsonError, Value, parse

OUR_TYPE = "spiderpool"
# What Calico's own plugin is set up with. Anything else is somebody's decision, not undone unasked.
REPLACED_TYPES = ("calico-ipam", "host-local", OUR_TYPE)
_KNOWN = ("type", "ipam", "plugins", "name")


class ConflistError(ValueError):
    """Why a file is not swapped: one line that says what was found."""


class UnfinishedError(ConflistError):
    """It is not JSON: it may be half-written."""


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


def ipam_types(text: str, plugin_type: str | None = None) -> set[str]:
    """Return the IPAM types in any object, of `plugin_type` if that is given: in Multus' delegates, too. ConflistError.

    Keys are matched without case, as Go does.
    """
    found: set[str] = set()
    left = [_parse(text)]
    while left:
        content = left.pop().content
        if isinstance(content, list):
            left += content
        elif isinstance(content, tuple):
            left += [value for _, value in content]
            if plugin_type is None or plugin_type in _texts(content, "type"):
                ipams = [value.content for key, value in content if key.casefold() == "ipam"]
                found = found.union(*(_texts(ipam, "type") for ipam in ipams if isinstance(ipam, tuple)))
    return found


def _texts(members: tuple[tuple[str, Value], ...], name: str) -> set[str]:
    return {value.content for key, value in members if key.casefold() == name and isinstance(value.content, str)}


def _parse(text: str) -> Value:
    try:
        return parse(text)
    except NotJsonError as error:
        raise UnfinishedError(str(error)) from None


def _plugins(text: str) -> tuple[dict[str, Value], list[dict[str, Value]]]:
    document = _parse(text)
    top = _keys(document, "the file")
    plugins = top["plugins"].content if "plugins" in top else [document]
    if not isinstance(plugins, list):
        raise ConflistError("its plugins are not a list")
    return top, [_keys(plugin, "a plugin") for plugin in plugins]


def swap(
    text: str, delegation: Delegation, settings: dict[str, Any], *, force: bool = False, theirs: str | None = None
) -> str:
    """Return the text with our `ipam` object; the same text where it says that already. ConflistError for others'.

    `theirs` is the value that was there before ours (by default what is there). If it names our plugin already, as on
    a node with the Go plugin, its keys stay; `settings` win over them.
    """
    if delegation.ipam_type not in REPLACED_TYPES and not force:
        known = ", ".join(REPLACED_TYPES)
        raise ConflistError(f"its ipam.type is {delegation.ipam_type!r}, which is none of {known}; --force replaces it")
    there = ipam_text(text, delegation)
    wanted = _wanted(there if theirs is None else theirs, settings)
    if _says(there, wanted):
        return text
    return put_back(text, delegation, "{" + ", ".join(f"{json.dumps(key)}: {wanted[key]}" for key in wanted) + "}")


def ipam_type(ipam: str) -> str:
    """Return the type in an `ipam` value; "" where there is none."""
    try:
        return _text(dict(_members(ipam)), "type")
    except NotJsonError:
        return ""


def _wanted(theirs: str, settings: dict[str, Any]) -> dict[str, str]:
    """Return the members of our object, each value as JSON: others' values are not serialised anew."""
    kept = _members(theirs) if ipam_type(theirs) == OUR_TYPE else ()
    taken = {"type", *(key.casefold() for key in settings)}
    return {
        "type": json.dumps(OUR_TYPE),
        **{key: theirs[value.start : value.end] for key, value in kept if key.casefold() not in taken},
        **{key: json.dumps(value, ensure_ascii=False) for key, value in settings.items()},
    }


def _members(ipam: str) -> tuple[tuple[str, Value], ...]:
    content = parse(ipam).content
    return content if isinstance(content, tuple) else ()


def _says(ipam: str, wanted: dict[str, str]) -> bool:
    said = {key: ipam[value.start : value.end] for key, value in _members(ipam)}
    return said.keys() == wanted.keys() and all(_is_same(said[key], wanted[key]) for key in said)


def _is_same(one: str, other: str) -> bool:
    """Compare two values; as text where they are too deep or too huge for `json`. (In Python, 1 == True.)"""
    if one == other:
        return True
    try:
        return json.dumps(json.loads(one), sort_keys=True) == json.dumps(json.loads(other), sort_keys=True)
    except (ValueError, RecursionError):
        return False


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
    variants = [key for key in members if key.casefold() in _KNOWN and key not in _KNOWN]
    if variants:
        raise ConflistError(f"{what} has {variants[0]!r} for {variants[0].casefold()!r}")
    return members


def _text(members: dict[str, Value], key: str) -> str:
    content = members[key].content if key in members else ""
    return content if isinstance(content, str) else ""
