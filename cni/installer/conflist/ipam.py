"""Our `ipam` object as text: what it holds, and whether one that is there says the same. Pure."""

import json
from typing import Any

from cni.defaults import IPAM_TYPE
from cni.installer.conflist.document import ConflistError, Delegation
from cni.installer.conflist.json_spans import NotJsonError, Value, is_same, parse_spans

# What Calico's own plugin is set up with. Any other type is somebody's decision, and only --force replaces it.
_REPLACED_TYPES = ("calico-ipam", "host-local", IPAM_TYPE)


def is_replaceable(delegation: Delegation) -> bool:
    """Tell whether an `ipam` is one that Calico's own plugin is set up with."""
    return delegation.ipam_type in _REPLACED_TYPES


def require_replaceable(delegation: Delegation) -> None:
    """Raise ConflistError for an `ipam` that somebody has chosen on purpose."""
    if not is_replaceable(delegation):
        known = ", ".join(_REPLACED_TYPES)
        raise ConflistError(f"its ipam.type is {delegation.ipam_type!r}, which is none of {known}; --force replaces it")


def our_ipam(current: str, original: str, settings: dict[str, Any]) -> str:
    """Return the text of our `ipam` object: `current`, the one that is there, where it says the same.

    `original` is the value without us. If it names our plugin as well, as on a node with the Go plugin, its other keys
    stay; `settings` win over them.
    """
    desired = _desired(original, settings)
    if _says_the_same(current, desired):
        return current
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in desired.items()) + "}"


def ipam_type(ipam: str) -> str:
    """Return the type in the text of an `ipam` value; "" where there is none."""
    try:
        content = dict(_members(ipam)).get("type", Value(None, 0, 0)).content
    except NotJsonError:
        return ""
    return content if isinstance(content, str) else ""


def ipam_settings(ipam: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    """Return what our `ipam` object says; `otherwise` where a value in it is too huge or too deep for `json`."""
    try:
        return dict(json.loads(ipam))
    except (ValueError, RecursionError):
        return otherwise


def _desired(original: str, settings: dict[str, Any]) -> dict[str, str]:
    """Return the members of our object, the values as JSON. The original's are not serialised anew."""
    kept = _members(original) if ipam_type(original) == IPAM_TYPE else ()
    taken = {"type", *(key.casefold() for key in settings)}
    return {
        "type": json.dumps(IPAM_TYPE),
        **{key: original[value.start : value.end] for key, value in kept if key.casefold() not in taken},
        **{key: json.dumps(value, ensure_ascii=False) for key, value in settings.items()},
    }


def _members(ipam: str) -> tuple[tuple[str, Value], ...]:
    content = parse_spans(ipam).content
    return content if isinstance(content, tuple) else ()


def _says_the_same(ipam: str, desired: dict[str, str]) -> bool:
    current = {key: ipam[value.start : value.end] for key, value in _members(ipam)}
    return current.keys() == desired.keys() and all(is_same(current[key], desired[key]) for key in current)
