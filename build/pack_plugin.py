"""Pack the plugin's modules into the one script that its executable runs.

Importing them from PyInstaller's archive would need PyInstaller's own import machinery first: five modules, 3 ms. So
they are compiled here and lie in the script as one marshalled list, in the order in which they import each other, and a
short loop runs them. A module that only functions import is not needed by every call: it lies there as bytes, and is
unmarshalled and run when the first of its names is used. An import of one packed module by another becomes a look-up in
sys.modules: an import statement takes 15,000 to 30,000 instructions, as much as a hundred lines of such a module. What
is of no use in a process of 10 ms is left out: docstrings, assertions, annotations, garbage collection.
A second script, image.py, begins in cni/plugin/image.py and defers nothing: of it the image is made.
Usage: pack_plugin.py ROOT FOLDER (the interpreter that runs this must be the bundle's).
"""

import ast
import marshal
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from types import CodeType

ENTRY = "cni.plugin.__main__"
IMAGE = "cni.plugin.image"  # where the process begins of which the image is made
# The plugin's interpreter has a home folder of its own (see the spec), which the bootloader takes for the bundle. The
# bundle, with the extension modules, is the folder around it. The first path is base_library.zip, which belongs to the
# operator's program.
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
    module.__packed__ = sys.modules
    defer(module, code)
for name, code in marshal.loads({modules!r}):
    module = type(sys)(name) if name != "__main__" else sys.modules[name]
    sys.modules[name] = module
    module.__packed__ = sys.modules
    exec(code, module.__dict__)
"""


def source_path(root: Path, module: str) -> Path | None:
    """Return the file of one of our modules or packages."""
    stem = root / module.replace(".", "/")
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()), None)


def imports_of(path: Path) -> list[str]:
    """List what a file imports of our own when it is run. Imports for the type checker, and in functions, do not
    count."""
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
    """Removes annotations, which would be worked out when the functions are made, and the imports that only they need.

    It raises ValueError where an annotation may mean something to the program.
    """

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Remove an argument's annotation."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Remove a function's return annotation."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """Remove a variable's annotation."""
        return ast.Assign([node.target], node.value) if node.value else ast.Pass()

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Refuse annotations that may be fields, as those of NamedTuple and dataclass are."""
        if (node.bases or node.decorator_list) and any(isinstance(part, ast.AnnAssign) for part in node.body):
            raise ValueError(f"line {node.lineno}: the annotations in class {node.name} may be its fields")
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """Remove `if TYPE_CHECKING:`."""
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
        return ast.Pass() if is_for_types else self.generic_visit(node)


class Linked(ast.NodeTransformer):
    """Makes `from cni.… import name` a look-up in `__packed__`, which the loader puts into each module.

    It raises ValueError for an import that would find nothing there: of a module that is not packed, because no import
    statement that this program reads names it, or in a form that it does not read.
    """

    def __init__(self, path: Path, packed: Collection[str]) -> None:
        self._path = path
        self._packed = packed

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        """Refuse `import cni.…`."""
        if any(alias.name.split(".")[0] == "cni" for alias in node.names):
            raise self._error(node, "write `from cni.… import …`")
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        """Assign each imported name: a module, or what a module holds under that name."""
        if node.level or not node.module:
            raise self._error(node, "a relative import")
        if node.module.split(".")[0] != "cni":
            return node
        return [self._assignment(node, alias) for alias in node.names]

    def _assignment(self, node: ast.ImportFrom, alias: ast.alias) -> ast.stmt:
        submodule = f"{node.module}.{alias.name}"
        if alias.name == "*" or not {submodule, node.module} & set(self._packed):
            raise self._error(node, f"{submodule} is not packed")
        is_module = submodule in self._packed
        value = f"__packed__[{submodule!r}]" if is_module else f"__packed__[{node.module!r}].{alias.name}"
        return ast.parse(f"{alias.asname or alias.name} = {value}").body[0]

    def _error(self, node: ast.stmt, text: str) -> ValueError:
        return ValueError(f"{self._path}:{node.lineno}: {text}")


def compiled(path: Path, module: str, packed: Collection[str]) -> CodeType:
    """Compile as `python -OO` does, without docstrings and assertions, bare and linked with the modules in `packed`."""
    tree = Linked(path, packed).visit(Bare().visit(ast.parse(path.read_text())))
    return compile(ast.fix_missing_locations(tree), f"{module.replace('.', '/')}.py", "exec", optimize=2)


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


def main(root: Path, output: Path, entry: str) -> None:
    """Write the script."""
    files = in_import_order(root, entry, {})
    rare = deferred_files(root, files)
    packed = [*files, *rare]
    if entry == IMAGE:  # which is to hold everything, with nothing left to do
        for name in rare:
            in_import_order(root, name, files)
        files[entry], rare = files.pop(entry), {}
    # In one piece, names that several modules use are read once.
    modules = [("__main__" if name == entry else name, compiled(path, name, packed)) for name, path in files.items()]
    deferred = [(name, marshal.dumps(compiled(path, name, packed))) for name, path in rare.items()]
    output.write_text(LOADER.format(modules=marshal.dumps(modules), deferred=tuple(deferred)))


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    main(Path(sys.argv[1]), folder / "spiderpool.py", ENTRY)
    main(Path(sys.argv[1]), folder / "image.py", IMAGE)
