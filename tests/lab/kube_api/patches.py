"""The kinds of patches. A strategic merge patch and server-side apply are taken for a merge patch. Pure."""

from typing import Any

from tests.lab.kube_api.objects import Object, duplicate
from tests.lab.kube_api.status_errors import StatusError, bad_request, unsupported_media_type

APPLY = "application/apply-patch+yaml"
_MERGES = ("application/merge-patch+json", "application/strategic-merge-patch+json", APPLY)


def patched(document: Object, media_type: str, patch: Any) -> Object:
    """Return a patched copy of an object; raise StatusError for what is no patch of this type."""
    if media_type in _MERGES and isinstance(patch, dict):
        merged: Object = _merge(document, patch)
        return merged
    if media_type == "application/json-patch+json" and isinstance(patch, list):
        try:
            return _apply(duplicate(document), patch)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise StatusError(422, "Invalid", f"the patch does not fit the object: {error!r}") from None
    if media_type in (*_MERGES, "application/json-patch+json"):
        raise bad_request(f"the body is no {media_type}")
    raise unsupported_media_type(media_type)


def _merge(value: Any, patch: Any) -> Any:
    """RFC 7386. Names with a dollar are directives for a strategic merge, which is not made here."""
    if not isinstance(patch, dict):
        return duplicate(patch)
    merged = dict(value) if isinstance(value, dict) else {}
    for name, wanted in patch.items():
        if wanted is None:
            merged.pop(name, None)
        elif not name.startswith("$"):
            merged[name] = _merge(merged.get(name), wanted)
    return merged


def _apply(document: Object, steps: list[Object]) -> Object:
    """RFC 6902. A document as a whole, path "", can be tested only."""
    for step in steps:
        operation, path = step["op"], step["path"]
        if operation == "test":
            if _value(document, path) != step["value"]:
                raise StatusError(422, "Invalid", f"testing value {path} failed: test failed")
        elif operation == "add":
            _add(document, path, duplicate(step["value"]))
        elif operation == "remove":
            _remove(document, path)
        elif operation == "replace":
            _remove(document, path)
            _add(document, path, duplicate(step["value"]))
        elif operation == "move":
            _add(document, path, _remove(document, step["from"]))
        elif operation == "copy":
            _add(document, path, duplicate(_value(document, step["from"])))
        else:
            raise bad_request(f"unexpected operation of a patch: {operation}")
    return document


def _names(path: str) -> list[str]:
    return [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")[1:]]


def _index(container: Any, name: str) -> Any:
    return int(name) if isinstance(container, list) else name


def _at(document: Any, names: list[str]) -> Any:
    for name in names:
        document = document[_index(document, name)]
    return document


def _value(document: Object, path: str) -> Any:
    return _at(document, _names(path))


def _add(document: Object, path: str, value: Any) -> None:
    *above, name = _names(path)
    container = _at(document, above)
    if isinstance(container, list):
        container.insert(len(container) if name == "-" else int(name), value)
    else:
        container[name] = value


def _remove(document: Object, path: str) -> Any:
    *above, name = _names(path)
    container = _at(document, above)
    return container.pop(_index(container, name))
