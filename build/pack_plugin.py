"""Pack the plugin's modules into the one script that its executable runs.

Importing them from PyInstaller's archive would need PyInstaller's own import machinery first: five modules, 3 ms. So
they are compiled here and lie in the script as one marshalled list, in the order in which they import each other, and a
short loop runs them. A module that only functions import is not needed by every call: it lies there as bytes, and is
unmarshalled and run when the first of its names is used. An import of one packed module by another becomes a look-up in
sys.modules: an import statement takes 15,000 to 30,000 instructions, as much as a hundred lines of such a module. What
is of no use in a process of 10 ms is left out: docstrings, assertions, annotations, garbage collection.
Usage: pack_plugin.py ROOT OUTPUT (the interpreter that runs this must be the bundle's).
"""

import ast
import marshal
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType

ENTRY = "cni.plugin.__main__"
# The home folder is the plugin's own (see the spec), and the bootloader takes it for the bundle's. That one is the
# folder around it, with the extension modules. The first path is base_library.zip, which is the operator program's.
LOADER = """import gc, marshal, sys
gc.disable()
home, sys._MEIPASS = sys._MEIPASS, sys._MEIPASS.rpartition("/")[0]
sys.path[:] = [path.replace(home, sys._MEIPASS, 1) for path in sys.path[1:]]
def defer(module, code):
    def load(name):
        del module.__getattr__
        exec(marshal.loads(code), module.__dict__)
        return getattr(module, name)
    module.__getattr__ = load
for name, code in {deferred!r}:
    sys.modules[name] = module = type(sys)(name)
    module.packed = sys.modules
    defer(module, code)
for name, code in marshal.loads({modules!r}):
    module = type(sys)(name) if name != "__main__" else sys.modules[name]
    sys.modules[name] = module
    module.packed = sys.modules
    exec(code, module.__dict__)
"""


def source_path(root: Path, module: str) -> Path | None:
    """Return the file of one of our modules or packages."""
    stem = root / module.replace(".", "/")
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()), None)


def imports_of(path: Path) -> list[str]:
    """List what a file imports of our own when it is run: `if TYPE_CHECKING:` blocks and functions are none of it."""
    return our_names(ast.parse(path.read_text()).body)


def deferred_imports_of(path: Path) -> list[str]:
    """List what a file's functions import of our own."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return our_names([node for function in functions for node in ast.walk(function)])


def our_names(nodes: Iterable[ast.AST]) -> list[str]:
    """List the modules, and what might be modules, that import statements name."""
    names = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cni":
            names += [node.module, *[f"{node.module}.{alias.name}" for alias in node.names]]
    return names


def in_import_order(root: Path, module: str, seen: dict[str, Path]) -> dict[str, Path]:
    """Add to `seen` what `module` imports, then itself; packages before their modules."""
    path = source_path(root, module)
    if path is None or module in seen:
        return seen
    parents = [module.rpartition(".")[0]] if "." in module else []
    for name in [*parents, *imports_of(path)]:
        in_import_order(root, name, seen)
    seen[module] = path
    return seen


class Bare(ast.NodeTransformer):
    """Leaves out annotations, which are worked out as the functions are made, and what only they name.

    Where an annotation means something to the program, it raises ValueError.
    """

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Leave out an argument's."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Leave out the result's."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """Leave out a variable's."""
        return ast.Assign([node.target], node.value) if node.value else ast.Pass()

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Refuse fields, as NamedTuple and dataclass have them."""
        if (node.bases or node.decorator_list) and any(isinstance(part, ast.AnnAssign) for part in node.body):
            raise ValueError(f"line {node.lineno}: the annotations in class {node.name} may be its fields")
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """Leave out `if TYPE_CHECKING:`."""
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
        return ast.Pass() if is_for_types else self.generic_visit(node)


class Linked(ast.NodeTransformer):
    """Makes `from cni.… import name` a look-up in `packed`, which the loader puts into each module."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        """Assign each imported name: a module, or what a module holds under that name."""
        if not node.module or node.module.split(".")[0] != "cni":
            return node
        return [self._assignment(node.module, alias) for alias in node.names]

    def _assignment(self, module: str, alias: ast.alias) -> ast.stmt:
        submodule = f"{module}.{alias.name}"
        is_module = source_path(self._root, submodule)
        value = f"packed[{submodule!r}]" if is_module else f"packed[{module!r}].{alias.name}"
        return ast.parse(f"{alias.asname or alias.name} = {value}").body[0]


def compiled(root: Path, path: Path, module: str) -> CodeType:
    """Compile as `python -OO` does, without docstrings and assertions, bare and linked."""
    tree = Linked(root).visit(Bare().visit(ast.parse(path.read_text())))
    tree = ast.fix_missing_locations(tree)
    return compile(tree, f"{module.replace('.', '/')}.py", "exec", optimize=2)


def deferred_files(root: Path, files: dict[str, Path]) -> dict[str, Path]:
    """Return the modules that only functions import, and what else these import."""
    deferred: dict[str, Path] = {}
    names = [name for path in files.values() for name in deferred_imports_of(path)]
    while names:
        name = names.pop()
        path = source_path(root, name)
        if path and name not in files and name not in deferred:
            deferred[name] = path
            names += imports_of(path) + deferred_imports_of(path)
    return deferred


def main(root: Path, output: Path) -> None:
    """Write the script."""
    files = in_import_order(root, ENTRY, {})
    # In one piece, names that several modules use are read once.
    modules = [("__main__" if name == ENTRY else name, compiled(root, path, name)) for name, path in files.items()]
    deferred = [(name, marshal.dumps(compiled(root, path, name))) for name, path in deferred_files(root, files).items()]
    output.write_text(LOADER.format(modules=marshal.dumps(modules), deferred=tuple(deferred)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
