"""Sets the defaults of a CustomResourceDefinition's schema, which controllers count on. Pure."""

from typing import Any

from tests.lab.kube_api.objects import Object, duplicate


def set_defaults(schema: Object, value: Any) -> None:
    """Add what a value lacks and its schema has a default for, at any depth, in place."""
    if isinstance(value, dict):
        for name, below in (schema.get("properties") or {}).items():
            if "default" in below and (name not in value or (value[name] is None and not below.get("nullable"))):
                value[name] = duplicate(below["default"])
            if name in value:
                set_defaults(below, value[name])
        if isinstance(schema.get("additionalProperties"), dict):
            for item in value.values():
                set_defaults(schema["additionalProperties"], item)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            set_defaults(schema["items"], item)
