"""The launcher for arm64, cross-compiled and run by qemu's user emulation."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import requirements
from tests.requirements import ROOT

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
FLAGS = ("-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin")
LOADER = "ld-linux-aarch64.so.1"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in (COMPILER, EMULATOR):
        requirements.need_program(name)
    program = tmp_path_factory.mktemp("bundle") / "spiderpool"
    arguments = ["-fno-stack-protector", f'-DLOADER="{LOADER}"', "-o", str(program), str(ROOT / "build/launcher.c")]
    subprocess.run([COMPILER, *FLAGS, *arguments], check=True)
    return program


def test_it_tells_of_a_broken_bundle(launcher: Path, tmp_path: Path) -> None:
    alone = shutil.copy(launcher, tmp_path)
    done = subprocess.run([EMULATOR, alone], capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr.endswith(f"_internal/{LOADER}: broken bundle, install it again\n")


def test_it_tells_that_it_starts_without_an_image(launcher: Path) -> None:
    done = subprocess.run([EMULATOR, launcher, "--how-it-starts"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "without its image: there is none for this architecture\n")


def test_it_runs_the_bundled_loader_without_the_callers_libraries(launcher: Path) -> None:
    internal = launcher.with_name("_internal")
    internal.mkdir()
    loader = internal / LOADER
    loader.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv\n')
    loader.chmod(0o755)
    environ = {**os.environ, "LD_PRELOAD": "/evil.so", "CNI_COMMAND": "ADD"}
    done = subprocess.run([EMULATOR, "-E", "LD_LIBRARY_PATH=/evil", launcher, "one"], env=environ, capture_output=True)
    lines = done.stdout.decode().splitlines()
    assert lines[:5] == ["--inhibit-cache", "--library-path", str(internal), f"{internal}/spiderpool.bin", "one"]
    assert "CNI_COMMAND=ADD" in lines
    assert not [line for line in lines if line.startswith("LD_")]
