"""`--set key=value`: what our `ipam` object holds beside its type. Pure.

The keys are those of the network configuration (cni/contracts/netconf.py). The plugin would ignore one that it does not
know, and refuse a wrong value at each pod, so both are refused here.
"""

import json
from collections.abc import Sequence
from typing import Any

from cni.installer.errors import InstallerError, first_fault


class SettingError(InstallerError):
    """Why a setting is refused."""


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Return the settings; a value is JSON, or else a string. SettingError names the key."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"{text!r}: want KEY=VALUE")
        settings[key] = _value(value)
    if settings:
        _require_valid(settings)
    if not _is_unicode(json.dumps(settings, ensure_ascii=False)):
        raise SettingError("want UTF-8, and no half of a surrogate pair")
    if not (settings.get("log_file_path") or "/").startswith("/"):
        raise SettingError("log_file_path: must be an absolute path: the runtime's folder is not yours")
    return settings


def _is_unicode(text: str) -> bool:
    """Whether a text can be written to a file: an argument may hold any bytes, JSON half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _require_valid(settings: dict[str, Any]) -> None:
    from pydantic import TypeAdapter, ValidationError

    from cni.contracts.netconf import Ipam

    known = sorted(set(Ipam.__annotations__) - {"type"})
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise SettingError(f"{unknown[0]!r} is no setting; there are {', '.join(known)}")
    try:
        TypeAdapter(Ipam).validate_python(settings)
    except ValidationError as error:
        raise SettingError(first_fault(error)) from None
