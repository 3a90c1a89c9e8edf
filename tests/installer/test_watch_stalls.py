"""What must not stop watch: a stderr that nobody reads, a check that hangs, a signal at any moment, no file events."""

import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.installer import stop_signals
from cni.installer.watch import RETRY, TICK
from tests import requirements
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import Node
from tests.installer.watch_process import watching
from tests.waiting import SLACK, wait_for

# A fault that no test can have on purpose otherwise: a file system that does not answer any more.
HANG = """
import pathlib, time
from cni.installer.reconciler import Reconciler
check = Reconciler.check
def hang(self):
    while pathlib.Path({flag!r}).exists():
        time.sleep(3600)
    check(self)
Reconciler.check = hang
"""


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """Give the test the writing end of a pipe that takes nothing any more, and that nobody reads."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, bytes(4096))
    yield writing
    os.close(reading)
    os.close(writing)


def stop(process: "subprocess.Popen[bytes]", status: int = 0) -> float:
    started = time.monotonic()
    process.terminate()
    assert process.wait(10 + SLACK) == status
    return time.monotonic() - started


def test_a_stderr_that_nobody_reads_holds_up_neither_repairs_nor_sigterm(node: Node, full_pipe: int) -> None:
    node.install()
    ready = node.root / "ready"
    with watching(node, f"--readiness-file={ready}", stderr=full_pipe) as watch:
        wait_for(ready.exists, "watch to be ready")
        for _ in range(50):
            node.plugin.unlink()  # a name that leads nowhere is repaired at once, however often
            wait_for(lambda: os.path.lexists(node.plugin), "the plugin")
        assert stop(watch) < 1 + SLACK
    assert not ready.exists()


def test_a_check_that_hangs_sends_no_heartbeat_and_holds_up_no_sigterm(node: Node) -> None:
    node.install()
    flag, log = node.root / "hang", node.root / "log"
    address = str(node.root / "notify")
    environment = os.environ | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, log.open("w") as stderr:
        manager.bind(address)
        manager.settimeout(SLACK)
        with watching(node, before=HANG.format(flag=str(flag)), env=environment, stderr=stderr) as watch:
            assert {manager.recv(100) for _ in range(3)} == {b"READY=1\nWATCHDOG=1"}
            flag.touch()
            node.write()
            time.sleep(2 * TICK)
            manager.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:  # what was sent before it hung
                    manager.recv(100)
            time.sleep(2 * TICK)
            with pytest.raises(BlockingIOError):
                manager.recv(100)
            assert stop(watch, 1) < stop_signals.PATIENCE + 1 + SLACK
    assert "did not end in time" in log.read_text()


def test_before_the_first_check_has_ended_it_does_not_say_that_it_is_ready(node: Node) -> None:
    node.install()
    flag, address = node.root / "hang", str(node.root / "notify")
    flag.touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(2)
        environment = os.environ | {"NOTIFY_SOCKET": address}
        with (
            watching(node, before=HANG.format(flag=str(flag)), env=environment, stderr=subprocess.DEVNULL),
            pytest.raises(TimeoutError),
        ):
            manager.recv(100)


def test_a_stopped_process_looks_as_if_it_hangs(node: Node) -> None:
    """The probe reads the file's date, because the process cannot be asked."""
    node.install()
    ready = node.root / "ready"
    with watching(node, f"--readiness-file={ready}", stderr=subprocess.DEVNULL) as watch:
        wait_for(ready.exists, "watch to be ready")
        watch.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        stopped = ready.stat().st_mtime
        time.sleep(3 * TICK)
        assert ready.stat().st_mtime == stopped
        watch.send_signal(signal.SIGCONT)
        wait_for(lambda: ready.stat().st_mtime > stopped, "the next round")


def test_a_signal_while_the_event_itself_is_locked_is_heeded() -> None:
    """As if it came while the main thread is within Event.wait, which holds the lock that Event.set takes."""
    event = threading.Event()
    with stop_signals.setting(event, give_up=lambda: None):
        with event._cond:  # type: ignore[attr-defined]  # no other way to be there for certain
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
        assert event.wait(SLACK)


def test_after_the_block_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals.setting(threading.Event(), give_up=lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.set_wakeup_fd(-1) == -1


def without_inotify(fault: str) -> tuple[str, ...]:
    """Have a call fail for one process as it does where the node's instances, or watches, are used up."""
    call = fault.partition(":")[0]
    strace = requirements.need_program("strace")
    return (strace, "-f", "-q", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("inotify_init1:error=EMFILE", "fs.inotify.max_user_instances is used up"),
        ("inotify_add_watch:error=ENOSPC", "fs.inotify.max_user_watches is used up"),
        ("inotify_init1:error=ENOSYS", "this kernel has no inotify"),
    ],
)
def test_without_file_events_two_writes_in_one_second_are_both_noticed(node: Node, fault: str, words: str) -> None:
    node.install()
    ready, log = node.root / "ready", node.root / "log"
    options = f"--readiness-file={ready}"
    with log.open("w") as stderr, watching(node, options, under=without_inotify(fault), stderr=stderr):
        wait_for(ready.exists, "watch to be ready")
        for _ in range(4):
            write_at_one_second(node.conflist)
            wait_for(lambda: node.conflist.read_text() == SWAPPED, "the swap", 2 * TICK)
            os.utime(node.conflist, (1700000000, 1700000000))
    assert log.read_text().count("no file events here, so watch checks twice a second instead") == 1
    assert words in log.read_text()


def write_at_one_second(conflist: Path) -> None:
    """Write a file as on a file system that keeps whole seconds: the second write has the date of the first."""
    conflist.write_text(CALICO)
    os.utime(conflist, (1700000000, 1700000000))


def test_file_events_are_used_again_as_soon_as_there_are_some(node: Node) -> None:
    assert RETRY <= 60
    node.install()
    log = node.root / "log"
    under = without_inotify("inotify_init1:error=EMFILE:when=1..2")
    with log.open("w") as stderr, watching(node, before=_RETRY_SOON, under=under, stderr=stderr):
        wait_for(lambda: "there are file events again" in log.read_text(), "the third try")
        assert log.read_text().count("no file events here") == 1
        node.write()
        wait_for(lambda: node.conflist.read_text() == SWAPPED, "the swap", 1)


_RETRY_SOON = "import cni.installer.watch\ncni.installer.watch.RETRY = 0.2"
