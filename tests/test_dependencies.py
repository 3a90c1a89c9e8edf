"""The dependency rule of cni/README.md, read off the import statements."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CNI = Path(__file__).parents[1] / "cni"
LEAVES = {"cni.cni_versions", "cni.deadline", "cni.defaults", "cni.errors", "cni.syntax"}
PLUGIN_MAY = {
    "_datetime", "_frozen_importlib", "_frozen_importlib_external", "_imp", "_signal", "_socket", "posix", "time",
}  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, those for the type checker left out."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            if node.module in ("cni", "cni.plugin"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)
        nodes.extend(ast.iter_child_nodes(node))


def modules(folder: str) -> list[Path]:
    return sorted((CNI / folder).rglob("*.py"))


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_the_leaves_import_nothing_but_the_clock(leaf: str) -> None:
    assert set(imports(CNI.parent / f"{leaf.replace('.', '/')}.py")) <= {"time"}


@pytest.mark.parametrize("path", modules("plugin"), ids=lambda p: p.name)
def test_the_plugin_imports_built_ins_and_leaves_only(path: Path) -> None:
    foreign = {name for name in imports(path) if name not in LEAVES | PLUGIN_MAY | {"sys"}}
    assert all(name.startswith("cni.plugin.") for name in foreign), foreign


@pytest.mark.parametrize("path", modules("contracts"), ids=lambda p: p.name)
def test_the_contracts_import_pydantic_and_leaves_only(path: Path) -> None:
    allowed = {"pydantic", "typing_extensions", "yaml"} | sys.stdlib_module_names
    for name in imports(path):
        assert name.startswith("cni.contracts") or name in LEAVES or name.split(".")[0] in allowed, name


@pytest.mark.parametrize("path", [p for p in CNI.rglob("*.py") if "plugin" not in p.parts], ids=lambda p: p.name)
def test_nothing_imports_the_plugin_but_itself_and_pending_releases(path: Path) -> None:
    # There is one implementation of what is pending: the plugin writes it, `status` counts it, `watch` replays it.
    assert {name for name in imports(path) if name.startswith("cni.plugin")} <= {"cni.plugin.pending"}
