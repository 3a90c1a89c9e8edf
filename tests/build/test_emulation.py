"""What build/emulation.py runs may run programs for arm64; the machine stays as it is."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import requirements
from tests.requirements import ROOT
from tests.waiting import wait_for

EMULATED = (sys.executable, str(ROOT / "build/emulation.py"))
BINFMT = Path("/proc/sys/fs/binfmt_misc")
PROGRAM = "#include <stdio.h>\nint main(int n, char **v) { puts(n > 1 ? v[1] : v[0]); return 42; }\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    requirements.need_root()
    requirements.need_program("qemu-aarch64-static")
    (tmp_path / "a.c").write_text(PROGRAM)
    compiler = requirements.need_program("aarch64-linux-gnu-gcc")
    subprocess.run([compiler, "-static", "-o", tmp_path / "a", tmp_path / "a.c"], check=True)
    return tmp_path / "a"


def run(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run([*EMULATED, *command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_program_for_arm64_runs_with_its_arguments_and_status(program: Path) -> None:
    before = sorted(BINFMT.iterdir())
    assert run(program, "a b") == (42, "a b\n")
    assert run(*EMULATED, "sh", "-c", '"$0" inner', program) == (42, "inner\n")
    assert sorted(BINFMT.iterdir()) == before


def test_it_finds_the_emulator_in_another_root(program: Path) -> None:
    assert run("chroot", program.parent, "/a") == (42, "/a\n")


def test_users_are_who_they_are_outside(program: Path) -> None:
    os.chown(program, 1234, 4321)
    assert run("stat", "--format=%u %g", program) == (0, "1234 4321\n")
    assert run("chown", "65534:7", program) == (0, "")
    assert (program.stat().st_uid, program.stat().st_gid) == (65534, 7)


def marked(mark: str) -> list[str]:
    """Return the processes that have a variable."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{mark}\0".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def test_what_it_runs_ends_when_it_is_killed(program: Path) -> None:
    command = [*EMULATED, "sh", "-c", "echo started; sleep 60; :"]
    with subprocess.Popen(command, env={**os.environ, "MARK": str(program)}, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        assert len(marked(f"MARK={program}")) > 1
        process.kill()
    wait_for(lambda: not marked(f"MARK={program}"), "all processes to end")


def test_who_is_not_root_is_told(program: Path) -> None:
    setpriv = requirements.need_program("setpriv")
    # Root without its rights and not another user, who may have no right to read a checkout in a folder of root's.
    without_rights = [setpriv, "--bounding-set=-all", "--inh-caps=-all", *EMULATED, "true"]
    done = subprocess.run(without_rights, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "only root may say who is who" in done.stderr
