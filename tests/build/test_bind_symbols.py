"""References to a library's own symbols are bound, so the loader does not look them up, and nothing else changes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import requirements
from tests.requirements import ROOT

SOURCE = """
extern char **environ;
__thread int of_thread = 3;
static int hidden = 4;
int shown = 7, array[3] = {1, 2, 3};
int function(void) { return shown; }
int *to_hidden = &hidden, *to_shown = &shown, *into_array = &array[2], (*to_function)(void) = function;
char ***to_another_librarys = &environ;
int sum(void) { return *to_hidden + *to_shown + *into_array + to_function() + of_thread + !!**to_another_librarys; }
"""
OTHER = "int shown = 1000;"
PROGRAM = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).sum())"


def _compile(source: str, library: Path, compiler: str = "gcc", *options: str) -> Path:
    library.with_suffix(".c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", *options, "-o", library, library.with_suffix(".c")], check=True)
    return library


def _bind(library: Path) -> Path:
    bound = library.with_name(f"bound-{library.name}")
    shutil.copy(library, bound)
    subprocess.run([sys.executable, ROOT / "build/bind_symbols.py", bound], check=True)
    return bound


def _sum(library: Path, preload: str = "") -> int:
    command = [sys.executable, "-c", PROGRAM, str(library)]
    return int(subprocess.run(command, env={"LD_PRELOAD": preload, "A": ""}, capture_output=True, check=True).stdout)


def _relocations(library: Path) -> list[str]:
    """Return type and symbol of each relocation of data."""
    shown = subprocess.run(["readelf", "-rW", library], capture_output=True, text=True, check=True).stdout
    data = shown.partition(".rela.plt")[0]
    return re.findall(r"^[0-9a-f]+ +[0-9a-f]+ +(R_\w+ +[0-9a-f]+(?: [\w.@]+)?)", data, re.MULTILINE)


def test_a_bound_library_computes_the_same_and_no_other_one_comes_between(tmp_path: Path) -> None:
    library, other = _compile(SOURCE, tmp_path / "lib.so"), _compile(OTHER, tmp_path / "other.so")
    bound = _bind(library)
    assert _sum(library) == _sum(bound) == 4 + 7 + 3 + 7 + 3 + 1
    assert _sum(library, str(other)) == 4 + 1000 + 3 + 1000 + 3 + 1
    assert _sum(bound, str(other)) == 25


@pytest.mark.parametrize("compiler", ["gcc", "aarch64-linux-gnu-gcc"])
def test_only_what_others_define_is_looked_up(compiler: str, tmp_path: Path) -> None:
    requirements.need_program(compiler)
    library = _compile(SOURCE, tmp_path / "lib.so", compiler)
    before, after = _relocations(library), _relocations(_bind(library))
    assert len(before) == len(after)
    looked_up = [row for row in after if " " in row.partition(" ")[2].strip()]
    names = {row.split()[-1].partition("@")[0] for row in looked_up}
    assert {"shown", "array", "function"} <= {row.split()[-1].partition("@")[0] for row in before}
    assert "environ" in names and not names & {"shown", "array", "function", "to_shown", "to_function"}
    # The loader takes the first ones for relative ones without looking at their types.
    relative = ["_RELATIVE" in row for row in after]
    assert relative == sorted(relative, reverse=True)


def test_a_symbol_that_is_a_number_stays_one(tmp_path: Path) -> None:
    source = "extern char number[]; char *pointer = number; long sum(void) { return (long)pointer; }"
    library = _compile(source, tmp_path / "lib.so", "gcc", "-Wl,--defsym=number=0x1234")
    assert _sum(library) == _sum(_bind(library)) == 0x1234


def test_binding_twice_is_binding_once(tmp_path: Path) -> None:
    bound = _bind(_compile(SOURCE, tmp_path / "lib.so"))
    assert _bind(bound).read_bytes() == bound.read_bytes()


def test_the_bundles_libpython_is_bound(tmp_path: Path) -> None:
    (library,) = (requirements.need_frozen("spiderpool").parent / "_internal").glob("libpython*")
    copy = Path(shutil.copy(library, tmp_path))
    assert _bind(copy).read_bytes() == library.read_bytes()
    assert not [row for row in _relocations(library) if "PyUnicode_Type" in row]
