"""Reads what the network configurations say to our plugin. Pure.

No more is kept than the keys that checks look at; of a wrong value what is wrong with it, not the value.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cni.contracts import faults
from cni.contracts.facts import OwnSettings
from cni.contracts.netconf import Ipam
from cni.defaults import AGENT_SOCKET, IPAM_TYPE, REQUEST_TIMEOUT
from cni.installer.conflist.folder import ConfFile
from cni.installer.node.folders import Folders

_IPAM = TypeAdapter(Ipam)


def read(folders: Folders, files: Iterable[ConfFile]) -> list[OwnSettings]:
    """Return what each file says to our plugin, for each main plugin that calls it."""
    return [_settings(folders.name_of(file.path), *one) for file in files for one in _own(_content(file))]


def _content(file: ConfFile) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        content = json.loads(file.document.text) if file.document else {}
        return content if isinstance(content, dict) else {}
    return {}


def _own(content: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the type of each main plugin that delegates to ours, and the `ipam` object that it gives it."""
    plugins = content.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else [content]:
        ipam = plugin.get("ipam") if isinstance(plugin, dict) else None
        if isinstance(ipam, dict) and ipam.get("type") == IPAM_TYPE:
            yield str(plugin.get("type", "")), ipam


def _settings(file: str, main_plugin: str, ipam: Mapping[str, Any]) -> OwnSettings:
    wrong = _faults(ipam)
    right = {key: value for key, value in ipam.items() if key not in wrong}
    return {
        "file": file,
        "main_plugin": main_plugin,
        "faults": wrong,
        "unknown": sorted(key for key in ipam if key not in Ipam.__annotations__),
        "shape": right.get("result_shape") or "",
        "socket": right.get("ipam_unix_socket_path") or AGENT_SOCKET,
        "timeout": right.get("request_timeout") or REQUEST_TIMEOUT,
    }


def _faults(ipam: Mapping[str, Any]) -> dict[str, str]:
    try:
        _IPAM.validate_python(ipam, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return {str(one["loc"][0]): faults.message(one) for one in found if one["loc"]}
    return {}
