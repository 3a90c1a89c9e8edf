"""What the image holds remembers nothing of the process in which it was made: read off the plugin's sources.

In an image, what a module works out when it is imported is the same in every process. So no module may keep anything of
the environment, the arguments, the streams, the time, or chance. (The builder's time zone would be the node's; a random
number would be the same at every call.)
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.plugin import image
from tests.build import recipes
from tests.requirements import ROOT

pack_plugin = recipes.load("pack_plugin")

# Everywhere, in functions as well: what an image freezes, or what glibc and CPython remember of the process.
NEVER = {
    ("time", name): "the time zone is read once in a process, and the image has read it"
    for name in ("localtime", "mktime", "ctime", "asctime", "tzset", "tzname", "timezone", "altzone")
} | {
    ("sys", "stdin"): "streams of Python are the builder's",
    ("sys", "stdout"): "streams of Python are the builder's",
    ("sys", "stderr"): "streams of Python are the builder's",
    ("sys", "flags"): "flags are the builder's",
    ("os", "environ"): "the environment is passed to main()",
}
# At import: what the launcher or the call sets anew.
NOT_AT_IMPORT = {
    ("posix", "environ"), ("sys", "argv"), ("sys", "orig_argv"), ("sys", "executable"), ("sys", "path"),
    ("sys", "_MEIPASS"), ("posix", "getpid"), ("posix", "getcwd"), ("posix", "getcwdb"), ("posix", "getuid"),
    ("posix", "geteuid"), ("posix", "open"), ("posix", "pipe"), ("posix", "pipe2"), ("posix", "umask"),
    ("posix", "urandom"), ("posix", "uname"), ("posix", "stat"), ("posix", "cpu_count"), ("time", "time"),
    ("time", "monotonic"), ("time", "gmtime"), ("time", "time_ns"), ("time", "monotonic_ns"), ("select", "poll"),
    ("_signal", "signal"), ("_socket", "socket"), ("_socket", "socketpair"), ("_socket", "gethostname"),
}  # fmt: skip
# Names that are the same function under another name, and modules that have a state of their own.
MODULES_NEVER = {"random", "_random", "locale", "_locale", "uuid", "tempfile", "threading", "_thread"}
FUNCTIONS_NEVER = {
    "hash": "the hash of a text is the same in every process of an image, and another one without it",
    "input": "it reads from the builder's stream",
    "print": "it writes to the builder's stream",
}


def modules() -> dict[str, Path]:
    """Return everything that the image holds."""
    files: dict[str, Path] = {}
    pack_plugin.in_import_order(ROOT, pack_plugin.IMAGE, files)
    for name in pack_plugin.deferred_files(ROOT, files):
        pack_plugin.in_import_order(ROOT, name, files)
    return files


MODULES = modules()


def imported(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Return the names that `from … import` gives, with what they stand for."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: (node.module or "", alias.name) for node in found for alias in node.names}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported: all but the bodies of functions, and what is for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from (part for default in child.args.defaults for part in ast.walk(default))
            continue
        yield child
        yield from at_import(child)


def used(nodes: Iterator[ast.AST], names: dict[str, tuple[str, str]]) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield each (module, name) that is used, with its line."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield (node.value.id, node.attr), node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield names.get(node.id, ("", node.id)), node.lineno


def faults(source: str) -> list[str]:
    """Return what a module does that an image makes wrong."""
    tree = ast.parse(source)
    names = imported(tree)
    found = []
    for (module, name), line in used(ast.walk(tree), names):
        reason = NEVER.get((module, name)) or (FUNCTIONS_NEVER.get(name) if not module else None)
        if reason:
            found.append(f"line {line}: {module}.{name}: {reason}")
    for what, line in used(at_import(tree), names):
        if what in NOT_AT_IMPORT:
            found.append(f"line {line}: {'.'.join(what)} at import: the image would hold the builder's")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("strftime") and len(node.args) < 2:
            found.append(f"line {node.lineno}: strftime without a time takes the local one")
        if isinstance(node, ast.Import | ast.ImportFrom):
            wanted = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [f"line {node.lineno}: import {name}" for name in wanted if name in MODULES_NEVER]
    return found


def test_the_image_holds_all_of_the_plugin() -> None:
    plugin = set((ROOT / "cni/plugin").glob("*.py"))
    assert plugin <= set(MODULES.values())
    assert image.__name__ in MODULES


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_remembers_nothing_of_the_process(module: str) -> None:
    assert faults(MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f():\n    return time.localtime()",
        "from time import localtime as there\ndef f():\n    return there()",
        "import time\ndef f():\n    return time.strftime('%Y')",
        "import random",
        "from random import choice",
        "def f(text):\n    return hash(text) % 8",
        "import posix\nHOME = posix.environ[b'HOME']",
        "from posix import environ\nHOME = environ.get(b'HOME')",
        "import os\ndef f():\n    return os.environ",
        "import sys\nNAME = sys.argv[0]",
        "import sys\ndef f(name=sys.argv):\n    return name",
        "import sys\ndef f():\n    sys.stdout.write('x')",
        "import time\nclass C:\n    started = time.monotonic()",
        "import posix\nSTATES = [posix.getpid() for _ in '1']",
    ],
)
def test_a_module_that_does_is_noticed(source: str) -> None:
    assert faults(source)


def test_what_runs_at_a_call_may_look_at_the_process() -> None:
    assert faults("import time, posix\ndef f():\n    return time.monotonic(), posix.environ") == []
