"""pydantic-core without pydantic: its extension module, loaded directly. Side effect: loads a shared object.

`import pydantic_core` runs a package that imports typing, re and more, which takes 30 ms and up. The extension alone is
ready in 2 to 4 ms; it parses JSON and validates it in 0.1 ms, which is less than `import json` takes. It is looked for
on sys.path, in a source tree as in the frozen bundle. While it starts, it imports two standard modules of which it
needs next to nothing. For that time, stand-ins take their place (without them an ADD takes 21 % more instructions):

- `datetime`: the C module _datetime is what it wants; datetime.py would import math and operator;
- `types`: it reads types.SimpleNamespace and nothing else.
"""

import _imp
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_NAME = "pydantic_core._pydantic_core"
_built: "dict[int, Any]" = {}  # by the identity of its schema, each validator that the image holds


class Invalid(Exception):  # noqa: N818  (the caller turns it into an error with a code)
    """A document breaks its contract. `errors` has (location, pydantic's error type, one line) for each fault."""

    def __init__(self, errors: list[tuple[tuple[str | int, ...], str, str]]) -> None:
        super().__init__(errors)
        self.errors = errors

    def one_line(self) -> str:
        """Say where and what, e.g. `ipam.log_level: must be one of …`."""
        return "; ".join(
            [": ".join([part for part in (_dotted(where), what) if part]) for where, _, what in self.errors]
        )


def validate(schema: "dict[str, Any]", document: bytes) -> "Any":
    """Check JSON against a core schema of _validators; raise Invalid.

    Only bytes: to check Python objects, pydantic-core imports modules that the plugin does not have.
    """
    core = _core()
    try:
        return (_built.get(id(schema)) or core.SchemaValidator(schema)).validate_json(document)
    except core.ValidationError as error:
        # Input, URL and context are left out: to make them imports modules, and the input may hold secrets.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise Invalid([(e["loc"], e["type"], e["msg"].removeprefix("Value error, ")) for e in found]) from None


def build(schema: "dict[str, Any]") -> None:
    """Build the validator of a schema, to be used from now on."""
    _built[id(schema)] = _core().SchemaValidator(schema)


def _dotted(location: "tuple[str | int, ...]") -> str:
    return ".".join([str(part) for part in location])


def _core() -> "Any":
    return sys.modules.get(_NAME) or _load(_find())


def _find() -> str:
    file_name = "/pydantic_core/_pydantic_core" + _imp.extension_suffixes()[0]
    for folder in sys.path:
        try:
            posix.stat(folder + file_name)
        except OSError:
            continue
        return folder + file_name
    raise ImportError(f"no {file_name} on sys.path: the bundle is incomplete")


def _load(path: str) -> "ModuleType":
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import ExtensionFileLoader

    stand_ins = _put_stand_ins()
    try:
        spec = ModuleSpec(_NAME, ExtensionFileLoader(_NAME, path), origin=path)
        module: ModuleType = _imp.create_dynamic(spec)
        _imp.exec_dynamic(module)
    finally:
        for name in stand_ins:
            del sys.modules[name]
    sys.modules[_NAME] = module
    return module


def _put_stand_ins() -> list[str]:
    """Put stand-ins for the modules that are not loaded yet; return their names."""
    import _datetime

    types = type(sys)("types")
    types.SimpleNamespace = type(sys.implementation)  # type: ignore[attr-defined]
    stand_ins = {"datetime": _datetime, "types": types}
    missing = [name for name in stand_ins if name not in sys.modules]
    for name in missing:
        sys.modules[name] = stand_ins[name]
    return missing
