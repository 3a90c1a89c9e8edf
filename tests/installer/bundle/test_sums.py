"""What differs from SHA256SUMS is named; whatever lies there, reading ends."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer.bundle import sums
from cni.installer.bundle.sums import NAME, StoppedError, SumsError, never
from tests.installer.sample_node import make_tree, write_sums
from tests.waiting import SLACK


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = make_tree(tmp_path / "tree", "a")
    (folder / "_internal/spiderpool.bin").write_bytes(os.urandom(3 * 2**20))
    (folder / "_internal/link").symlink_to("data")
    (folder / "_internal/__init__.py").touch()
    write_sums(folder)
    return folder


def change_a_byte(tree: Path) -> None:
    path = tree / "_internal/spiderpool.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(tree: Path) -> None:
    (tree / "_internal/data").unlink()


def add(tree: Path) -> None:
    (tree / "_internal/\udcffextra.so").touch()


def replace(make: Callable[[Path], None], name: str = "_internal/data") -> Callable[[Path], None]:
    def damage(tree: Path) -> None:
        (tree / name).unlink()
        make(tree / name)

    return damage


def lead_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def lead_to_itself_elsewhere(tree: Path) -> None:
    (tree / "_internal").rename(tree.parent / "elsewhere")
    (tree / "_internal").symlink_to("../elsewhere")


def lead_out(tree: Path) -> None:
    (tree / "_internal/data").rename(tree.parent / "data")
    (tree / "_internal/data").symlink_to("../../data")


def lead_there_by_the_root(tree: Path) -> None:
    (tree / "_internal/link").unlink()
    (tree / "_internal/link").symlink_to(tree / "_internal/data")


def list_as(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(tree: Path) -> None:
        (tree / NAME).write_bytes(change((tree / NAME).read_bytes()))

    return damage


def grow(tree: Path) -> None:
    os.truncate(tree / "_internal/spiderpool.bin", 2**43)  # reading that would take hours


HASH = b"0" * 64


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_a_byte, "_internal/spiderpool.bin does not hold what SHA256SUMS says"),
        (remove, "_internal/data is missing"),
        (add, r"_internal/\xffextra.so is not of this release"),
        (replace(os.mkfifo), "_internal/data is no file"),
        (replace(Path.mkdir), "_internal/data is no file"),
        (replace(Path.touch), "_internal/data is empty"),
        (grow, "_internal/spiderpool.bin has 8796093022208 bytes"),
        (replace(lead_to("nowhere")), "_internal/data is missing"),
        (replace(lead_to("data")), "Too many levels"),
        (lead_out, "_internal/data leads out of the release"),
        (lead_there_by_the_root, "_internal/link leads out of the release"),
        (lead_to_itself_elsewhere, "_internal is not of this release"),
        (replace(os.mkfifo, NAME), "SHA256SUMS is no file"),
        (replace(Path.touch, NAME), "is not of this release"),
        (replace(lambda _: None, NAME), "SHA256SUMS is missing"),
        (replace(lead_to("/etc/passwd"), NAME), "Too many levels"),
        (list_as(lambda text: text[:-1] + b"x\n"), "spiderpool-ipamx is missing"),
        (list_as(lambda text: text[:90]), "SHA256SUMS is damaged"),
        (list_as(lambda text: text[: text.index(b"\n") + 1]), "is not of this release"),
        (list_as(lambda text: text + HASH + b"  \xff\n"), "SHA256SUMS is damaged"),
        (list_as(lambda text: text + HASH + b"  ../data\n"), "SHA256SUMS is damaged: it names ../data"),
        (
            list_as(lambda text: text + HASH + b"  /etc/passwd\n"),
            "it names /etc/passwd, which is outside of the release",
        ),
        (list_as(lambda text: text + b"x" * 2**21), "SHA256SUMS is damaged"),
        (list_as(lambda _: HASH + b"\n"), "SHA256SUMS is damaged"),
    ],
)
def test_a_file_that_differs_is_named(damage: Callable[[Path], None], words: str, tree: Path) -> None:
    assert len(sums.check(tree, never)) == 6
    damage(tree)
    with pytest.raises((SumsError, OSError)) as caught:
        sums.check(tree, never)
    assert words in str(caught.value)


def test_reading_ends_when_it_is_told_to(tree: Path) -> None:
    """As watch has to, within a second of SIGTERM, however slow the disk is."""
    os.truncate(tree / "_internal/spiderpool.bin", 2**30)
    end = time.monotonic() + 0.1
    with pytest.raises(StoppedError):
        sums.check(tree, lambda: time.monotonic() > end)
    assert time.monotonic() - end < 1 + SLACK
