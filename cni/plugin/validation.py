"""pydantic-core without pydantic: its extension module, loaded directly. Side effect: loads a shared object.

`import pydantic_core` runs a package that imports typing, re and more: 30 ms and up. The extension alone is ready in
2 to 4 ms, parses JSON and validates it in 0.1 ms: less than `import json`. It is looked for on sys.path, so a source
tree and the frozen bundle work alike. While it starts it imports two standard modules of which it needs next to
nothing; stand-ins are lent to it for that time and taken away again (without them an ADD takes 21 % more instructions):

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


class Invalid(Exception):  # noqa: N818  (not an error of ours yet: the caller gives it a code)
    """A document broke its contract: `errors` holds (location, pydantic's error type, one line) for each."""

    def __init__(self, errors: list[tuple[tuple[str | int, ...], str, str]]) -> None:
        super().__init__(errors)
        self.errors = errors

    def one_line(self) -> str:
        """Say where and what, e.g. `ipam.log_level: must be one of …`."""
        return "; ".join(
            [": ".join([part for part in (_dotted(where), what) if part]) for where, _, what in self.errors]
        )


def validate(schema: "dict[str, Any]", document: "Any") -> "Any":
    """Check JSON bytes, or a part of a parsed document, against a core schema of _validators; raise Invalid."""
    core = _core()
    validator = core.SchemaValidator(schema)
    try:
        return validator.validate_json(document) if isinstance(document, bytes) else validator.validate_python(document)
    except core.ValidationError as error:
        # Input, URL and context are left out: they import modules or could show secrets.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise Invalid([(e["loc"], e["type"], e["msg"].removeprefix("Value error, ")) for e in found]) from None


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

    lent = _lend_modules()
    try:
        spec = ModuleSpec(_NAME, ExtensionFileLoader(_NAME, path), origin=path)
        module: ModuleType = _imp.create_dynamic(spec)
        _imp.exec_dynamic(module)
    finally:
        for name in lent:
            del sys.modules[name]
    sys.modules[_NAME] = module
    return module


def _lend_modules() -> list[str]:
    """Put the stand-ins where nothing is loaded yet; return their names."""
    import _datetime

    types = type(sys)("types")
    types.SimpleNamespace = type(sys.implementation)  # type: ignore[attr-defined]
    stand_ins = {"datetime": _datetime, "types": types}
    lent = [name for name in stand_ins if name not in sys.modules]
    for name in lent:
        sys.modules[name] = stand_ins[name]
    return lent
