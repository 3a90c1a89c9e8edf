"""Copies of the frozen bundle that can start in one way only, and how a plugin says which way it takes."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests import requirements

IMAGE, PROGRAM = "spiderpool.image", "spiderpool.bin"
FROM_IMAGE = "from its image"
TIME_LIMIT = 60  # seconds for one call; those under strace and qemu are the slowest


class Bundles(NamedTuple):
    """The plugin in three copies of the bundle."""

    whole: Path
    imaged: Path  # starts from its image or, where it cannot, ends with status 127
    plain: Path  # has no image


def make(folder: Path) -> Bundles:
    """Make the three copies below a folder."""
    requirements.need_image()
    return Bundles(copy_to(folder / "whole"), copy_to(folder / "imaged", PROGRAM), copy_to(folder / "plain", IMAGE))


def copy_to(folder: Path, *without: str) -> Path:
    """Make a copy of the bundle, without these files of `_internal`; return its plugin. The files are links."""
    tree = requirements.need_frozen("spiderpool").parent
    left_out = shutil.ignore_patterns(*without)
    shutil.copytree(tree, folder, symlinks=True, ignore=left_out, copy_function=_link)
    return folder / "spiderpool"


def own_image(program: Path) -> Path:
    """Give a copy an image of its own, in the place of the link; return its path."""
    path = program.parent / "_internal" / IMAGE
    path.unlink(missing_ok=True)
    shutil.copyfile(requirements.need_image(), path)
    return path


def how_it_starts(program: str | Path, *before: str | Path) -> str:
    """Return which way a plugin says it takes, when it is run by the command line `before`."""
    command = [*before, program, "--how-it-starts"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=TIME_LIMIT)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.removesuffix("\n")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
