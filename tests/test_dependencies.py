"""The arrows between the packages, as cni/README.md draws them, read off the import statements; no circle anywhere."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CNI = Path(__file__).parents[1] / "cni"
LEAVES = {"cni.cni_versions", "cni.deadline", "cni.defaults", "cni.errors", "cni.ready", "cni.syntax"}
# A package -> what it may import of ours beside itself and the leaves.
ARROWS = {
    "plugin": set(),
    "contracts": set(),
    "detection": {"contracts"},
    "agent": {"contracts", "plugin", "input_file"},
    "delegate": {"input_file"},
    "installer": {"contracts", "plugin", "input_file"},
    "doctor": {"contracts", "installer", "input_file"},
    "cli": {"doctor", "contracts", "detection", "agent", "installer", "delegate", "input_file"},
}
# What the plugin may import of others: built-in modules. Anything else costs milliseconds at each start.
PLUGIN_MAY = {
    "_datetime", "_frozen_importlib", "_frozen_importlib_external", "_imp", "_signal", "_socket",
    "posix", "select", "sys", "time",
}  # fmt: skip


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(CNI.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(CNI.rglob("*.py"))}


def imports(path: Path, *, for_types: bool = False) -> Iterator[str]:
    """Yield the modules that a file imports, in functions as well; with `for_types` also those for the type checker."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from {name if name in MODULES else str(node.module) for name in names}
        nodes.extend(ast.iter_child_nodes(node))


def package_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: MODULES.keys() & set(imports(path, for_types=True)) for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_the_leaves_import_nothing_but_the_clock_and_poll(leaf: str) -> None:
    assert set(imports(MODULES[leaf])) <= {"time", "select"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - LEAVES))
def test_the_arrows_between_the_packages_are_those_that_are_drawn(module: str) -> None:
    own = package_of(module)
    ours = {name for name in imports(MODULES[module]) if name in MODULES} - LEAVES
    foreign = {package_of(name) for name in ours} - {own, ""}
    assert foreign <= ARROWS.get(own, set()), f"{module} imports {sorted(foreign)}"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if package_of(name) == "plugin"))
def test_the_plugin_imports_built_ins_itself_and_leaves_only(module: str) -> None:
    foreign = {name for name in imports(MODULES[module]) if name not in MODULES}
    assert foreign <= PLUGIN_MAY


@pytest.mark.parametrize("module", sorted(name for name in MODULES if package_of(name) == "contracts"))
def test_the_contracts_import_pydantic_and_what_publishes_them_yaml(module: str) -> None:
    allowed = {"cni", "pydantic", "typing_extensions", "yaml"} | sys.stdlib_module_names
    assert {name.split(".")[0] for name in imports(MODULES[module])} <= allowed


def test_pending_releases_are_all_that_the_operators_side_shares_with_the_plugin() -> None:
    # There is one implementation: the plugin writes them down, `status` counts them, `watch` and the agent send them.
    users = {name: set(imports(path)) for name, path in MODULES.items() if package_of(name) != "plugin"}
    shared = {(name, module) for name in users for module in users[name] if module.startswith("cni.plugin")}
    place = "cni.installer.node.pending"
    assert shared == {
        (place, "cni.plugin.pending"),
        (place, "cni.plugin.replay"),
        ("cni.agent.pending", "cni.plugin.replay"),
    }
