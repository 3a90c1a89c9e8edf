"""The sizes that keep a file readable in one go (CONTRIBUTING.md)."""

import ast
import statistics
from pathlib import Path

import pytest

from tests.requirements import ROOT

GENERATED = {"_validators.py", "_rare_validators.py"}
SOURCES = [path for folder in ("cni", "build") for path in sorted((ROOT / folder).rglob("*"))]
CODE = [path for path in SOURCES if path.suffix in (".py", ".sh", ".c", ".spec") and path.name not in GENERATED]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def functions(path: Path) -> list[tuple[str, int]]:
    nodes = ast.walk(ast.parse(path.read_text()))
    found = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in found]


@pytest.mark.parametrize(("paths", "limit"), [(CODE, 250), (TESTS, 350)], ids=["cni and build", "tests"])
def test_no_file_is_longer_than_its_limit(paths: list[Path], limit: int) -> None:
    assert len(paths) > 50
    assert not {str(path): lines for path in paths if (lines := path.read_text().count("\n")) > limit}


def test_functions_are_short_half_of_them_eight_lines_and_none_above_forty() -> None:
    lines = {f"{path}:{name}": length for path in CODE if path.suffix == ".py" for name, length in functions(path)}
    assert statistics.median(lines.values()) <= 8
    assert not {name: length for name, length in lines.items() if length > 40}
