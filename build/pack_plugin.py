"""Pack the plugin's modules into the one script that its executable runs.

Importing them from PyInstaller's archive would need PyInstaller's own import machinery first: five modules, 3 ms. So
they are compiled here and lie in the script as one marshalled list, in the order in which they import each other, and a
short loop runs them. Usage: pack_plugin.py ROOT OUTPUT (the interpreter that runs this must be the bundle's).
"""

import ast
import marshal
import sys
from pathlib import Path
from types import CodeType

ENTRY = "cni.plugin.__main__"
LOADER = """import marshal, sys
for name, code in marshal.loads({modules!r}):
    module = type(sys)(name) if name != "__main__" else sys.modules[name]
    sys.modules[name] = module
    exec(code, module.__dict__)
"""


def source_path(root: Path, module: str) -> Path | None:
    """Return the file of one of our modules or packages."""
    stem = root / module.replace(".", "/")
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()), None)


def imports_of(path: Path) -> list[str]:
    """List what a file imports at run time of our own: `if TYPE_CHECKING:` blocks are none of it."""
    names = []
    for node in ast.parse(path.read_text()).body:
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


def compiled(path: Path, module: str) -> CodeType:
    """Compile as `python -OO` does: no docstrings, no assertions."""
    return compile(path.read_text(), f"{module.replace('.', '/')}.py", "exec", optimize=2)


def main(root: Path, output: Path) -> None:
    """Write the script."""
    files = in_import_order(root, ENTRY, {})
    # In one piece, names that several modules use are read once.
    modules = [("__main__" if name == ENTRY else name, compiled(path, name)) for name, path in files.items()]
    output.write_text(LOADER.format(modules=marshal.dumps(modules)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
