"""A bundle of launcher, loader, C library and witness.c, a program that prints how it was called."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests import requirements

STATUS = 7  # the exit status of witness.c


class Account(NamedTuple):
    """What the witness printed."""

    arguments: list[bytes]
    environment: list[bytes]
    folder: bytes
    stdin: bytes


def build(folder: Path) -> Path:
    """Make the bundle; return its launcher."""
    launcher, gcc = requirements.need_frozen("spiderpool"), requirements.need_program("gcc")
    inner = folder / "_internal"
    inner.mkdir(parents=True)
    for file in [loader_of(launcher.parent), launcher.parent / "_internal/libc.so.6"]:
        shutil.copy(file, inner)
    subprocess.run([gcc, "-o", inner / "witness.bin", Path(__file__).with_name("witness.c")], check=True)
    shutil.copy(launcher, folder / "witness")
    return folder / "witness"


def loader_of(tree: Path) -> Path:
    """Return the dynamic loader of a bundle."""
    (loader,) = (tree / "_internal").glob("ld-*")
    return loader


def account(done: "subprocess.CompletedProcess[bytes]") -> Account:
    """Parse what the witness printed."""
    assert (done.returncode, done.stderr) == (STATUS, b"")
    arguments, rest = _counted(done.stdout)
    environment, rest = _counted(rest)
    folder, _, stdin = rest.partition(b"\0")
    return Account(arguments, environment, folder, stdin)


def _counted(told: bytes) -> tuple[list[bytes], bytes]:
    number, _, rest = told.partition(b"\0")
    *texts, rest = rest.split(b"\0", int(number))
    return texts, rest
