"""The tracer writes no image of a process that could not go on elsewhere, and says why."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests import requirements
from tests.image.bundles import TIME_LIMIT

SOURCE = Path(__file__).with_name("refused.c")
TRACER = requirements.ROOT / "dist/.image/tracer"
STATES = {
    "thread": "system call",
    "open file": "an open file (3)",
    "child": "system call",
    "interval timer": "system call",
    "timer": "system call",
    "alarm": "system call",
    "pending signal": "system call",
    "blocked signal": "blocked signals",
    "another handler": "other handlers than CPython's",
    "another ignored signal": "other ignored signals than CPython's",
    "a signal that is not ignored": "other ignored signals than CPython's",
    "a stack for signals": "system call 131",
    "shared memory": "shared memory",
    "executable and writable memory": "writable and executable",
    "socket": "system call 41",
    "unknown call": "system call 425",
    "limit": "a limit other than the stack's",
    "rounding": "the floating-point unit",
    "crash": "signal 11 at ",
    "trap": "signal 5 at ",
    "reading": "readv()",
    "random bytes": "1000 random bytes at once",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to chroot to that holds the program alone."""
    requirements.need_root()
    requirements.need_image()
    folder = tmp_path_factory.mktemp("root")
    gcc = requirements.need_program("gcc")
    subprocess.run([gcc, "-static", "-O1", "-Wall", "-o", folder / "program", SOURCE], check=True)
    return folder


def trace(root: Path, output: Path, *program: str, stops: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the tracer. CPUID is answered by this machine where `stops` does not name the instructions."""
    (output.parent / "stops").write_text(stops)
    command: list[str | Path] = [TRACER, output, root, output.parent / "stops", *program]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)


def test_a_plain_program_is_written_down(root: Path, tmp_path: Path) -> None:
    done = trace(root, tmp_path / "dump", "/program", "plain")
    assert (done.returncode, done.stderr) == (0, "")
    head = (tmp_path / "dump").read_bytes().partition(b"\n\n")[0].decode()
    assert "register rip " in head and "mapping " in head


@pytest.mark.parametrize(("state", "cause"), STATES.items(), ids=STATES.keys())
def test_a_state_that_no_image_can_hold_is_refused(root: Path, tmp_path: Path, state: str, cause: str) -> None:
    done = trace(root, tmp_path / "dump", "/program", state)
    assert done.returncode == 1
    assert done.stderr.startswith("no image: ")
    assert cause in done.stderr
    assert not (tmp_path / "dump").exists()


def test_a_program_that_ends_is_refused_with_its_status(root: Path, tmp_path: Path) -> None:
    done = trace(root, tmp_path / "dump", "/program", "end")
    assert (done.returncode, done.stderr) == (1, "no image: the program ended with status 7 before it was ready\n")


@pytest.mark.parametrize("inherited", ["ignored", "blocked"])
def test_the_builders_signals_are_not_the_programs(root: Path, tmp_path: Path, inherited: str) -> None:
    before = signal.getsignal(signal.SIGHUP), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        if inherited == "ignored":
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        done = trace(root, tmp_path / "dump", "/program", "plain")
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.pthread_sigmask(signal.SIG_SETMASK, before[1])
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_is_not_there_is_named(root: Path, tmp_path: Path) -> None:
    done = trace(root, tmp_path / "dump", "/nowhere")
    assert (done.returncode, done.stderr) == (1, "/nowhere cannot be run\n")


@pytest.mark.parametrize("forbidden", ["ptrace", "personality", "chroot"])
def test_what_the_machine_does_not_allow_is_another_status(root: Path, tmp_path: Path, forbidden: str) -> None:
    strace = requirements.need_program("strace")
    (tmp_path / "stops").touch()
    before = [strace, "-f", "-qq", "-o", "/dev/null"]
    if forbidden != "ptrace":  # a program that is traced cannot be traced by another
        before += ["-e", f"trace={forbidden}", "-e", f"inject={forbidden}:error=EPERM"]
    command: list[str | Path] = [*before, TRACER, tmp_path / "dump", root, tmp_path / "stops", "/program", "plain"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    assert done.returncode == 2
    assert f"this machine does not allow {forbidden}: " in done.stderr


def test_the_tracer_leaves_no_process_behind(root: Path, tmp_path: Path) -> None:
    for state in ("plain", "child", "thread", "end", "blocked signal"):
        trace(root, tmp_path / "dump", "/program", state)
    left = [path for path in Path("/proc").glob("[0-9]*/root") if _is_below(path, root)]
    assert not left


def _is_below(path: Path, root: Path) -> bool:
    try:
        return path.readlink() == root
    except OSError:  # it has ended, or is another user's
        return False
