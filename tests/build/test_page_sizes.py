"""Every ELF file of the bundle can be mapped with each page size of its architecture, and others are refused."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import requirements
from tests.requirements import ROOT


def check(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "build/page_sizes.py", tree], capture_output=True, text=True)


def library(tree: Path, compiler: str, *options: str) -> None:
    requirements.need_program(compiler)
    tree.mkdir()
    (tree / "a.c").write_text("int a = 1; int b(void) { return a; }\n")
    subprocess.run([compiler, "-shared", "-fPIC", *options, "-o", tree / "liba.so", tree / "a.c"], check=True)


def test_the_bundle_is_aligned() -> None:
    done = check(requirements.need_frozen("spiderpool").parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


OWN = 65536 if platform.machine() == "aarch64" else 4096  # the largest pages of this machine's architecture


@pytest.mark.parametrize(("compiler", "size"), [("gcc", OWN), ("aarch64-linux-gnu-gcc", 65536)])
def test_what_the_compiler_makes_by_itself_is_aligned_and_less_is_refused(
    compiler: str, size: int, tmp_path: Path
) -> None:
    library(tmp_path / "right", compiler)
    assert check(tmp_path / "right").returncode == 0
    library(tmp_path / "less", compiler, f"-Wl,-z,max-page-size={size // 2},-z,common-page-size={size // 2}")
    done = check(tmp_path / "less")
    assert (done.returncode, done.stderr) == (
        1, f"liba.so is aligned to {size // 2} bytes, and pages may have {size}\n"
    )  # fmt: skip


def test_a_part_that_lies_elsewhere_in_its_page_than_in_the_file_is_refused(tmp_path: Path) -> None:
    library(tmp_path / "tree", "gcc")
    path = tmp_path / "tree/liba.so"
    content = bytearray(path.read_bytes())
    table = int.from_bytes(content[32:40], "little")  # e_phoff; the first entry is a PT_LOAD
    content[table + 16 : table + 24] = (8).to_bytes(8, "little")  # its p_vaddr
    path.write_bytes(content)
    assert check(tmp_path / "tree").stderr == f"liba.so has a part that pages of {OWN} bytes cannot map\n"


def test_what_is_no_elf_file_and_links_are_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    library(tree, "gcc", "-Wl,-z,max-page-size=2048,-z,common-page-size=2048")
    shutil.move(tree / "liba.so", tmp_path)
    (tree / "link.so").symlink_to(tmp_path / "liba.so")
    assert check(tree).returncode == 0
