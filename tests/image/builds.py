"""Builds of the image, as build/freeze.sh makes it, of a copy of the frozen bundle.

A build takes ten seconds, so that one serves the tests of all workers: `once` keeps it in the folder of the whole run.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests import requirements
from tests.image.bundles import IMAGE, copy_to

MAKE = requirements.ROOT / "build/image/make.py"
HOT = MAKE.with_name("hot.py")
PARTS = requirements.ROOT / "dist/.image"
TIME_LIMIT = 300  # seconds


def build(
    folder: Path,
    *before: str,
    program: Path = PARTS / "image.bin",
    tracer: Path = PARTS / "tracer",
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Make a copy of the bundle in a folder, and the image in it; return the image."""
    requirements.need_image()
    requirements.need_package("elftools")
    requirements.need_program("objdump")
    tree = copy_to(folder, IMAGE).parent
    done = attempt(tree, *before, program=program, tracer=tracer, environ=environ)
    if done.returncode == 2:
        requirements.missing(f"no image can be made here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    if program == PARTS / "image.bin":  # of another, the launcher would not take the image
        describe(tree)
    return tree / "_internal" / IMAGE


def describe(tree: Path) -> None:
    """Run hot.py on a bundle, whose launcher must know the image."""
    subprocess.run([sys.executable, HOT, tree / "spiderpool"], check=True, capture_output=True, timeout=TIME_LIMIT)


def attempt(
    tree: Path,
    *before: str,
    program: Path = PARTS / "image.bin",
    tracer: Path = PARTS / "tracer",
    environ: Mapping[str, str] = os.environ,
) -> "subprocess.CompletedProcess[str]":
    """Run make.py on a bundle, by the command line `before`."""
    command: list[str | Path] = [*before, sys.executable, MAKE, tree, program, tracer]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIME_LIMIT)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Have a folder of this run made by the worker that is first; return it."""
    run = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    folder = run / name
    with (run / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            folder.mkdir()  # FileExistsError where another worker has failed
            try:
                make(folder)
            except pytest.skip.Exception:  # for each worker
                shutil.rmtree(folder)
                raise
            (folder / "made").touch()
    return folder


def own_copy(folder: Path, user: int) -> Path:
    """Make a copy of the bundle without links, which belongs to a user; return its folder."""
    tree = requirements.need_frozen("spiderpool").parent
    shutil.copytree(tree, folder, symlinks=True, ignore=shutil.ignore_patterns(IMAGE))
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user, follow_symlinks=False)
    return folder
