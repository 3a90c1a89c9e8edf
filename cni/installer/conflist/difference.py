"""Which members of a network configuration somebody has changed, in words. Pure."""

import json
from typing import Any

_SHOWN = 3  # members that are named


def changed_members(found: bytes | None, wanted: bytes | None) -> str:
    """Name the members that differ: those of the whole, and those of each plugin, such as "ipam of plugin calico"."""
    try:
        one, other = json.loads(found or b""), json.loads(wanted or b"")
        names = _names(one, other)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        names = []  # missing, half-written or of another shape
    if not names:
        return "the whole"
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _names(one: Any, other: Any) -> list[str]:
    names = [f"the {key}" for key in _different(one, other) if key != "plugins"]
    plugins = [{plugin["type"]: plugin for plugin in side["plugins"]} for side in (one, other)]
    for plugin_type in _different(*plugins):
        if any(plugin_type not in side for side in plugins):
            names.append(f"the plugin {plugin_type}")
        else:
            members = _different(*(side[plugin_type] for side in plugins))
            names += [f"the {key} of plugin {plugin_type}" for key in members]
    return names or (["the order or number of its plugins"] if one["plugins"] != other["plugins"] else [])


def _different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    missing = object()
    return [key for key in {**one, **other} if one.get(key, missing) != other.get(key, missing)]
