"""Calico writes while its conflist is replaced: nothing of that is lost, whoever is killed or slow.

The writers are processes. strace makes our rename slow, kills us, and stands for a file system without exchange.
"""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cni.installer.conflist.apply import settle, wait_until_settled
from cni.installer.conflist.document import UnfinishedError
from cni.installer.node import atomic_file
from cni.installer.node.atomic_file import ChangedError
from cni.installer.reconciler import Reconciler
from tests import requirements
from tests.installer.conflist.writes import reconciled, restored
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED
from tests.installer.sample_node import COPY, Node
from tests.installer.test_kills import NEWER_SWAPPED, calls_of, traced
from tests.waiting import wait_for

# Holds the conflist open, writes when told to, in place: 0.3 s later, and the rest after `pause` seconds more.
WRITER = """
import sys, time
path, text, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
with open(path, "r+") as file:
    print("open", flush=True)
    sys.stdin.readline()
    time.sleep(0.3)
    file.truncate()
    file.write(text[:150])
    file.flush()
    time.sleep(pause)
    file.write(text[150:])
"""
DRIVER = """
import sys
from pathlib import Path
from cni.installer.node import atomic_file
from tests.installer.conflist.writes import reconciled, restored
from tests.installer.sample_node import Node
node = Node(Path(sys.argv[1]))
restored(node) if sys.argv[2] == "restored" else reconciled(node, as_name=sys.argv[2])
"""
PAUSES = pytest.mark.parametrize("pause", [0, 0.3, 1.2])


@pytest.fixture(autouse=True)
def _second_look(_no_second_look: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_file, "LOOK_AGAIN", 1.0)


@pytest.fixture
def writer(node: Node) -> Iterator[Callable[..., Callable[[], None]]]:
    """Start a writer that has opened the conflist; it writes when what this returns is called."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, pause: float) -> Callable[[], None]:
        command = [sys.executable, "-c", WRITER, str(node.conflist), text, str(pause)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout and process.stdout.readline() == "open\n"
        return lambda: process.communicate("write\n") and None

    yield start
    for process in started:
        process.kill()
        process.communicate()


def driver(node: Node, what: str = "") -> list[str]:
    return [sys.executable, "-c", DRIVER, str(node.root), what]


def kept(node: Node) -> list[str]:
    return [path.name for path in node.conf.iterdir() if path.suffix in (".kept", ".new")]


@PAUSES
def test_what_a_writer_writes_that_had_the_file_open_is_found_by_the_next_looks(
    node: Node, pause: float, writer: Callable[..., Callable[[], None]]
) -> None:
    write = writer(NEWER, pause)
    reconciled(node)
    writing = threading.Thread(target=write)
    writing.start()
    time.sleep(settle(node.folders, node.record))
    try:
        reconciled(node)
    except UnfinishedError:  # watch looks again as soon as the rest is written
        writing.join()
        reconciled(node)
    writing.join()
    assert node.conflist.read_text() == NEWER_SWAPPED
    wait_until_settled(node.folders, node.record)
    assert (node.conflist.read_text(), kept(node)) == (NEWER_SWAPPED, [])


@PAUSES
def test_install_and_uninstall_return_when_no_writer_can_come_any_more(
    node: Node, pause: float, writer: Callable[..., Callable[[], None]]
) -> None:
    writing = threading.Thread(target=writer(NEWER, pause))
    writing.start()
    node.install()
    writing.join()
    assert (node.conflist.read_text(), kept(node)) == (NEWER_SWAPPED, [])
    newest = NEWER.replace("1450", "1400")
    writing = threading.Thread(target=writer(newest, pause))
    writing.start()
    node.uninstall()
    writing.join()
    assert (node.conflist.read_text(), kept(node)) == (newest, [])


def test_watch_mends_what_was_written_to_the_old_file(node: Node) -> None:
    said: list[str] = []
    node.install()
    watch = Reconciler(node.folders, node.tree, "1.0.0", said.append)
    node.write()
    with node.conflist.open("r+") as file:
        watch.check()
        assert node.conflist.read_text() == SWAPPED
        file.write(NEWER)
        file.truncate()
    watch.check()
    assert (node.conflist.read_text(), watch.state.fault) == (NEWER_SWAPPED, "")
    wait_until_settled(node.folders, node.record)
    assert (node.conflist.read_text(), kept(node)) == (NEWER_SWAPPED, [])


def write_when_it_is_about_to_be_replaced(node: Node, process: subprocess.Popen[bytes], text: str) -> None:
    """Write as Calico does after our last look; the call that follows it is delayed."""
    about = ".spiderpool-ipam.10-calico.conflist.0."
    wait_for(lambda: process.poll() is not None or any(name.startswith(about) for name in kept(node)), "the exchange")
    time.sleep(0.1)  # the look comes between the name and the call
    node.write(text)


@pytest.mark.parametrize("what", ["", "restored"])
@pytest.mark.parametrize("error", ["", "EINVAL", "ENOSYS"])
def test_what_calico_writes_between_the_last_look_and_the_exchange_stays(node: Node, what: str, error: str) -> None:
    if what:
        node.install()
    inject = f"--inject=renameat2:delay_enter=1500000:when=1{f':error={error}' if error else ''}"
    command = [requirements.need_program("strace"), "-qq", "-o", "/dev/null", "--trace=renameat2", inject]
    with subprocess.Popen([*command, *driver(node, what)], cwd=requirements.ROOT) as process:
        write_when_it_is_about_to_be_replaced(node, process, NEWER)
    assert process.returncode == 0
    assert node.conflist.read_text() == (NEWER if what else NEWER_SWAPPED)


def test_a_conflist_that_is_removed_before_the_exchange_has_changed(node: Node) -> None:
    inject = "--inject=renameat2:delay_enter=1000000:when=1"
    command = [requirements.need_program("strace"), "-qq", "-o", "/dev/null", "--trace=renameat2", inject]
    with subprocess.Popen([*command, *driver(node)], cwd=requirements.ROOT, stderr=subprocess.PIPE) as process:
        write_when_it_is_about_to_be_replaced(node, process, CALICO)
        node.conflist.unlink()
        assert process.stderr
        assert "NoneFoundError: no plugin of type calico" in process.stderr.read().decode()
    assert kept(node) == []


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EOPNOTSUPP"])
@pytest.mark.parametrize("as_name", ["", COPY])
def test_without_exchange_it_is_a_rename(node: Node, as_name: str, error: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert traced(driver(node, as_name), log, "--trace=renameat2", f"--inject=renameat2:error={error}").returncode == 0
    assert "INJECTED" in log.read_text()
    assert (node.copy if as_name else node.conflist).read_text() == SWAPPED
    assert kept(node) == []
    restored(node)
    assert node.conflist.read_text() == CALICO


def test_what_was_kept_gets_its_name_back_without_exchange(node: Node, tmp_path: Path) -> None:
    reconciled(node)
    (node.conf / kept(node)[0]).write_text(NEWER)
    done = traced(driver(node), tmp_path / "log", "--trace=renameat2", "--inject=renameat2:error=EINVAL")
    assert (done.returncode, node.conflist.read_text(), kept(node)) == (0, NEWER_SWAPPED, [])


def killed_while_calico_writes(root: Path, call: str, when: int, what: str) -> Node | None:
    """Return a node whose installer was killed at a call while Calico wrote; None if it makes no such call any more."""
    node = Node(root)
    if what:
        node.install()
    inject = ["--inject=renameat2:delay_enter=300000:when=1", f"--inject={call}:signal=SIGKILL:when={when}"]
    if call == "renameat2":
        inject = [f"--inject=renameat2:delay_enter=300000:signal=SIGKILL:when={when}"]
    command = [requirements.need_program("strace"), "-qq", "-o", "/dev/null", f"--trace=renameat2,{call}", *inject]
    with subprocess.Popen([*command, *driver(node, what)], cwd=requirements.ROOT) as process:
        write_when_it_is_about_to_be_replaced(node, process, NEWER)
    assert process.returncode in (0, -9)
    return node if process.returncode else None


@pytest.mark.slow
@pytest.mark.parametrize("what", ["", "restored"])
def test_killed_anywhere_while_calico_writes_the_next_run_loses_nothing(
    what: str, tmp_path: Path, show: Callable[[str], None]
) -> None:
    node = Node(tmp_path / "count")
    if what:
        node.install()
    killed = 0
    for call in calls_of(driver(node, what), tmp_path / "log"):
        for when in itertools.count(1):
            killed_node = killed_while_calico_writes(tmp_path / f"{call}-{when}", call, when, what)
            if not killed_node:
                break
            killed += 1
            killed_node.uninstall() if what else killed_node.install()
            assert killed_node.conflist.read_text() == (NEWER if what else NEWER_SWAPPED), (call, when)
            assert kept(killed_node) == []
    assert killed >= 8
    show(f"{what or 'reconciled'} while Calico writes: killed at each of {killed} calls")


@pytest.mark.parametrize("text", [CALICO, NEWER])
def test_killed_between_exchange_and_look_what_came_out_is_compared(node: Node, text: str) -> None:
    """The sixth fsync is that of the folder after the exchange; before, the record and its copy are written."""
    inject = ["--inject=renameat2:delay_enter=300000:when=1", "--inject=fsync:signal=SIGKILL:when=6"]
    command = [requirements.need_program("strace"), "-qq", "-o", "/dev/null", "--trace=renameat2,fsync", *inject]
    with subprocess.Popen([*command, *driver(node)], cwd=requirements.ROOT) as process:
        write_when_it_is_about_to_be_replaced(node, process, text)
    (name,) = kept(node)
    assert (node.conflist.read_text(), (node.conf / name).read_text()) == (SWAPPED, text)
    with pytest.raises(ChangedError) if text == NEWER else pytest.MonkeyPatch.context():
        assert settle(node.folders, node.record) > 0.5  # a writer may still have it open
    node.install()
    assert (node.conflist.read_text(), kept(node)) == (text.replace(CALICO, SWAPPED).replace(NEWER, NEWER_SWAPPED), [])
