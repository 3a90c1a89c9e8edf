"""The release has the same bytes in whichever folder it is built, does not name that folder, and is small enough."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from PyInstaller.archive.readers import CArchiveReader

from tests import requirements
from tests.requirements import ROOT

BUILT_FROM = ("LICENSE", "pyproject.toml", "build", "cni")
MEBIBYTE = 1 << 20


def copy_sources(target: Path) -> None:
    """Copy what a build reads. The copy's .venv is a link, so run freeze.sh, which only reads it, and not `make`."""
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")


@pytest.mark.slow
def test_another_build_elsewhere_gives_the_same_tarball(tmp_path: Path) -> None:
    first = requirements.need_tarball()
    with tarfile.open(first) as archive:
        dates = {member.mtime for member in archive}
    assert len(dates) == 1
    copy = tmp_path / "another folder"
    copy.mkdir()
    copy_sources(copy)
    surroundings = {"TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "1"}
    environ = {**os.environ, **surroundings, "SOURCE_DATE_EPOCH": str(int(dates.pop()))}
    done = subprocess.run(["bash", copy / "build/freeze.sh"], env=environ, umask=0o077, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    second = copy / "dist" / first.name
    assert contents(second) == contents(first), "is dist/ older than the sources? `make build` first"
    assert second.read_bytes() == first.read_bytes()
    assert Path(f"{second}.sha256").read_text() == Path(f"{first}.sha256").read_text()


def contents(tarball: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and bytes of each file, so that a failing comparison names it."""
    with tarfile.open(tarball) as archive:
        members = [(member, archive.extractfile(member)) for member in archive]
        return {member.name: (member.mode, file.read() if file else b"") for member, file in members}


def test_nothing_in_it_names_the_folder_that_it_was_built_in() -> None:
    tree = requirements.need_frozen("spiderpool").parent
    files = [path for path in tree.rglob("*") if path.is_file()]
    assert [path for path in files if os.fsencode(ROOT) in path.read_bytes()] == []
    modules = CArchiveReader(str(tree / "_internal/spiderpool-ipam.bin")).open_embedded_archive("PYZ.pyz")
    assert b"cni/cli/version.py" in modules.extract("cni.cli.version", raw=True)
    assert [name for name in modules.toc if os.fsencode(ROOT) in (modules.extract(name, raw=True) or b"")] == []


def test_anyone_may_read_it_and_only_its_owner_write() -> None:
    with tarfile.open(requirements.need_tarball()) as archive:
        members = archive.getmembers()
    assert {member.mode for member in members if not member.issym()} == {0o644, 0o755}
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}


def test_the_tarball_is_as_small_as_promised() -> None:
    assert requirements.need_tarball().stat().st_size < 30 * MEBIBYTE
