"""The packed modules: what is left out of their code, and what stays."""

import dis
import importlib
import os
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tests.build import recipes
from tests.requirements import ROOT

pack_plugin = recipes.load("pack_plugin")

PACKED = ["cni.errors", "cni.plugin.http1"]

SOURCE = '''
"""Text for readers."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nowhere import Nothing
limit: "Nothing" = 2
unset: "Nothing"

def function(a: Nowhere, /, *rest: Nowhere, b: Nowhere = limit, **more: Nowhere) -> Nowhere[int]:
    """Text for readers."""
    assert a, "for tests"
    total: Nowhere = a + b
    inner = lambda c: [x for x in (c, total) if x]
    def deeper(d: Nowhere) -> Nowhere:
        return inner(d)
    return deeper(b)

class Thing:
    x: Nowhere = 3
    if TYPE_CHECKING:
        y: Nowhere
'''


def _run(source: str, path: Path) -> dict[str, Any]:
    path.write_text(source)
    names: dict[str, Any] = {"__name__": "module", "__packed__": sys.modules}
    exec(pack_plugin.compiled(path, "module", PACKED), names)
    return names


def test_a_module_runs_as_before_without_annotations_and_what_they_name(tmp_path: Path) -> None:
    module = _run(SOURCE, tmp_path / "module.py")
    assert module["function"](0, b=5) == [5, 5]
    assert module["function"].__annotations__ == {} and module["function"].__doc__ is None
    assert (module["limit"], module["Thing"].x) == (2, 3)
    assert "__annotations__" not in module and "__annotations__" not in vars(module["Thing"])


def test_an_import_of_a_packed_module_is_a_look_up(tmp_path: Path) -> None:
    source = (
        "from cni import errors as codes\nfrom cni.errors import CNIError as Error, INTERNAL\nfrom posix import stat\n"
    )
    source += "def late():\n    from cni.plugin import http1\n    return http1\n"
    errors, http1 = importlib.import_module("cni.errors"), importlib.import_module("cni.plugin.http1")
    module = _run(source, tmp_path / "module.py")
    assert (module["codes"], module["Error"], module["INTERNAL"]) == (errors, errors.CNIError, errors.INTERNAL)
    assert (module["late"](), module["stat"]) == (http1, os.stat)
    code = pack_plugin.compiled(tmp_path / "module.py", "module", PACKED)
    assert [step.argval for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"] == ["posix"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("try:\n    from cni.nowhere import x\nexcept ImportError:\n    x = 1\n", "module.py:2: cni.nowhere.x is not"),
        ("from cni.errors import *\n", r"cni.errors.\* is not packed"),
        ("import cni.errors\n", "write `from cni"),
        ("from .errors import INTERNAL\n", "a relative import"),
    ],
)
def test_an_import_that_would_find_nothing_fails_the_build(source: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        _run(source, tmp_path / "module.py")


def test_the_other_branch_of_a_type_check_stays(tmp_path: Path) -> None:
    source = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import nowhere\nelse:\n    here = 1\n"
    assert _run(source, tmp_path / "module.py")["here"] == 1


def test_a_class_whose_annotations_may_be_fields_fails_the_build(tmp_path: Path) -> None:
    for head in ("class A(NamedTuple):", "@dataclass\nclass A:"):
        with pytest.raises(ValueError, match="in class A may be its fields"):
            _run(f"{head}\n    x: int\n", tmp_path / "module.py")


def test_the_plugins_code_holds_no_type_checking_imports() -> None:
    files = pack_plugin.in_import_order(ROOT, pack_plugin.ENTRY, {})

    def names(code: CodeType) -> set[str]:
        return {*code.co_names}.union(*[names(part) for part in code.co_consts if isinstance(part, CodeType)])

    packed = [*files, *pack_plugin.deferred_files(ROOT, files)]
    imported = set().union(*[names(pack_plugin.compiled(path, module, packed)) for module, path in files.items()])
    assert "collections.abc" not in imported and "posix" in imported
