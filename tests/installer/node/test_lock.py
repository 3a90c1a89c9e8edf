"""The node's lock, between processes. strace has one of them wait where it matters."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni import ready
from cni.installer.node import lock
from tests import requirements
from tests.waiting import SLACK, wait_for

# Takes the lock, says so, and holds it until stdin ends.
HOLDER = """
import sys
from pathlib import Path
from cni.installer.node import lock
with lock.held(Path(sys.argv[1]), timeout=float(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "var/lib/state"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(state: Path, timeout: float, *before: str) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", HOLDER, str(state), str(timeout)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=requirements.ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def is_held(state: Path) -> bool:
    with (state / lock.NAME).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_second_one_waits_until_the_first_has_gone(state: Path, processes: list[subprocess.Popen[str]]) -> None:
    first = start(state, 1)
    processes.append(first)
    assert first.stdout and first.stdout.readline() == "held\n"
    threading.Timer(0.5, first.kill).start()  # the kernel ends the lock with the process
    started = time.monotonic()
    with lock.held(state, timeout=20):
        assert 0.3 < time.monotonic() - started < 0.5 + SLACK


def test_who_waits_in_vain_is_told_what_is_locked(state: Path, processes: list[subprocess.Popen[str]]) -> None:
    first = start(state, 1)
    processes.append(first)
    assert first.stdout and first.stdout.readline() == "held\n"
    message = f"another installer holds {state}/lock for more than 0.2 s"
    with pytest.raises(lock.LockedError, match=message), lock.held(state, timeout=0.2):
        pass
    assert is_held(state)


def test_an_error_inside_ends_the_lock(state: Path) -> None:
    with pytest.raises(RuntimeError), lock.held(state):
        raise RuntimeError
    assert not is_held(state)


@pytest.mark.parametrize("is_made_anew", [True, False])
def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(
    is_made_anew: bool, state: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """Uninstall removes the file that it holds. Who has opened it before then gets the lock of a file without name."""
    state.mkdir(parents=True)
    (state / lock.NAME).touch()
    strace = [requirements.need_program("strace"), "-qq", "-o", f"{state}.log", "--trace=flock"]
    late = start(state, 20, *strace, "--inject=flock:delay_enter=1500000:when=1")
    processes.append(late)
    wait_for(lambda: Path(f"{state}.log").exists() and "flock(" in Path(f"{state}.log").read_text(), "its call")
    (state / lock.NAME).unlink()
    if not is_made_anew:
        assert late.stdout and late.stdout.readline() == "held\n"
        assert is_held(state)
        return
    with lock.held(state):
        time.sleep(2)
        assert late.stdout
        assert not ready.to_read(late.stdout.fileno(), 0)  # it found that the file has changed, and waits
    assert late.stdout.readline() == "held\n"


def test_a_lock_file_that_is_a_link_is_not_followed(state: Path) -> None:
    state.mkdir(parents=True)
    (state / lock.NAME).symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"), lock.held(state):
        pass
    assert not (state / "elsewhere").exists()


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o777])
def test_everybody_may_read_the_state_folder_whatever_the_umask(mask: int, state: Path) -> None:
    umask = os.umask(mask)
    try:
        with lock.held(state):
            pass
    finally:
        os.umask(umask)
    for folder in (state, state.parent, state.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_state_folder_that_is_there_keeps_its_mode(state: Path) -> None:
    state.mkdir(parents=True)
    state.chmod(0o700)
    with lock.held(state):
        pass
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_state_folder_that_is_a_link_to_nowhere_is_told(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.symlink_to("nowhere")
    with pytest.raises(FileExistsError), lock.held(state, timeout=1):
        pass


def test_removing_takes_the_folder_along_unless_something_is_in_it(state: Path) -> None:
    with lock.held(state):
        (state / "leases.db").touch()
        lock.remove(state)
        assert [path.name for path in state.iterdir()] == ["leases.db"]
    (state / "leases.db").unlink()
    with lock.held(state):
        lock.remove(state)
        assert not state.exists()
