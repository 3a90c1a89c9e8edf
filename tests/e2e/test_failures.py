"""The frozen plugin as a node treats it: told to end, killed at any call, its stdout gone, its disk full."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.e2e.conftest import Agent
from tests.own_state import with_own_state

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ADDRESS = b'{"ips":[{"version":4,"address":"10.244.100.10/16","nic":"eth0"}]}\n'
# Nothing but the bundle is needed for that many: 64 KiB is what a pipe holds.
MANY = json.dumps(
    {
        "ips": [{"version": 4, "address": "10.244.100.10/16", "nic": "eth0"}],
        "routes": [{"ifName": "eth0", "dst": f"10.{n // 256}.{n % 256}.0/24", "gw": "10.244.0.1"} for n in range(3000)],
    }
).encode()


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Node:
    """A state folder, a log and a socket path; the frozen plugin runs with them."""

    def __init__(self, folder: Path) -> None:
        requirements.need_root()
        requirements.need_program("unshare")
        self.plugin = requirements.need_frozen("spiderpool")
        self.folder = folder
        self.socket = folder / "agent.sock"
        self.log = folder / "log"
        self.state = folder / "plugin-state"
        self.state.mkdir()

    def start(self, command: str, *before: str | Path, container: str = "c1", **options: Any) -> subprocess.Popen[str]:
        """Start a call; `before` is what runs the plugin."""
        document = {
            "cniVersion": "1.1.0",
            "name": "net",
            "ipam": {"ipam_unix_socket_path": str(self.socket), "log_file_path": str(self.log)},
        }
        (self.folder / "stdin").write_text(json.dumps(document))
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": "/n",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/",
            "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-1;K8S_POD_UID=u1",
        }
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with (self.folder / "stdin").open() as stdin:
            command_line = with_own_state(self.state, *before, self.plugin)
            return subprocess.Popen(command_line, env=environ, stdin=stdin, text=True, **streams)

    def call(self, command: str, *before: str | Path, **options: Any) -> tuple[int, dict[str, Any]]:
        """Run a call to its end; return exit status and what it printed, {} for silence."""
        with self.start(command, *before, **options) as process:
            stdout, stderr = process.communicate(timeout=60)
        assert before or not stderr, stderr
        return process.returncode, json.loads(stdout or "{}")

    def pending(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.state / "pending").glob("*.release")]

    def logged(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.log.read_text().splitlines()[-1])
        return line


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


class Heard:
    """What an agent was asked, and when it was asked first."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.first = threading.Event()


@contextmanager
def agent(node: Node, answers: Callable[[str], bytes | None]) -> Iterator[Heard]:
    """Serve one answer by method; None: never answer, until the caller hangs up."""
    heard = Heard()

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # whom it answers may have been killed
            method = connection.recv(65536).split(b" ")[0].decode()
            heard.requests.append(method)
            heard.first.set()
            answer = answers(method)
            if answer is None:
                connection.recv(1)
            else:
                connection.sendall(answer)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,)).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(node.socket))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@both_signals
def test_told_to_end_while_the_agent_works_an_add_releases_and_prints_its_error(
    number: signal.Signals, node: Node
) -> None:
    with agent(node, lambda method: OK if method == "DELETE" else None) as heard:
        with node.start("ADD") as process:
            assert heard.first.wait(10)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=10)
        assert heard.requests == ["POST", "DELETE"]
    assert (process.returncode, stderr) == (1, "")
    assert json.loads(stdout)["code"] == 11
    assert "ADD was stopped by a signal" in json.loads(stdout)["msg"]
    assert not node.pending()


@both_signals
def test_told_to_end_before_it_has_read_its_configuration_it_asks_nothing(number: signal.Signals, node: Node) -> None:
    reader, writer = os.pipe()
    with node.start("ADD", "/bin/bash", "-c", f'exec "$0" <&{reader}', pass_fds=[reader]) as process:
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=10)
    os.close(reader)
    os.close(writer)
    assert (process.returncode, stderr, json.loads(stdout)["code"]) == (1, "", 11)


def test_told_to_end_at_any_moment_it_says_one_thing_or_has_not_begun(node: Node, show: Callable[[str], None]) -> None:
    """pydantic-core swallows an exception that comes while it works, or makes another one of it."""
    codes: Counter[int | None] = Counter()
    with agent(node, lambda method: OK if method == "DELETE" else http(ADDRESS)):
        for number in range(300):
            with node.start("ADD") as process:
                time.sleep(number / 300 * 0.03)
                process.send_signal(signal.SIGTERM)
                stdout, stderr = process.communicate(timeout=10)
            assert stderr == ""
            if process.returncode != -signal.SIGTERM:
                codes[json.loads(stdout).get("code", 0)] += 1
                assert process.returncode == ("code" in json.loads(stdout))
            else:
                codes[None] += 1
                assert stdout == ""
    show(f"ADD told to end at 300 moments: {dict(codes)} (0: it had finished, None: it had not begun)")
    assert set(codes) == {None, 0, 11}


@both_signals
def test_told_to_end_while_nobody_listens_an_add_prints_its_error_at_once(number: signal.Signals, node: Node) -> None:
    with node.start("ADD") as process:
        time.sleep(1)  # of the three seconds
        process.send_signal(number)
        started = time.monotonic()
        stdout, _ = process.communicate(timeout=10)
    assert time.monotonic() - started < 1
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert not node.pending()


@both_signals
def test_told_to_end_while_nobody_reads_its_result_an_add_releases(number: signal.Signals, node: Node) -> None:
    reader, writer = os.pipe()
    with agent(node, lambda method: OK if method == "DELETE" else http(MANY)) as heard:
        with node.start("ADD", stdout=writer) as process:
            os.close(writer)
            assert heard.first.wait(10)
            time.sleep(1)
            assert process.poll() is None, "it fits into the pipe: no test"
            process.send_signal(number)
            assert process.wait(10) == 1
        assert heard.requests == ["POST", "DELETE"]
    os.close(reader)
    assert node.logged()["code"] == 5


def test_told_to_end_twice_an_add_still_releases(node: Node) -> None:
    def answers(method: str) -> bytes | None:
        if method == "DELETE":
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            return OK
        return None

    with agent(node, answers) as heard:
        with node.start("ADD") as process:
            assert heard.first.wait(10)
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=10)
        assert heard.requests == ["POST", "DELETE"]
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert not node.pending()


@both_signals
def test_told_to_end_a_del_writes_its_release_down(number: signal.Signals, node: Node) -> None:
    with agent(node, lambda method: None) as heard, node.start("DEL") as process:
        assert heard.first.wait(10)
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=10)
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert len(node.pending()) == 1


@pytest.mark.parametrize("stdout", ["closed", "full", "nobody reads"])
def test_an_add_whose_result_cannot_be_printed_is_released(stdout: str, node: Node) -> None:
    before: list[str] = []
    options: dict[str, Any] = {}
    ends = os.pipe()
    if stdout == "closed":
        before = ["/bin/sh", "-c", 'exec "$0" >&-']
    elif stdout == "full":
        options["stdout"] = os.open("/dev/full", os.O_WRONLY)
    else:
        options["stdout"] = ends[1]
        os.close(ends[0])
    with agent(node, lambda method: OK if method == "DELETE" else http(ADDRESS)) as heard:
        with node.start("ADD", *before, **options) as process:
            process.communicate(timeout=10)
        assert heard.requests == ["POST", "DELETE"]
    assert process.returncode == 1
    assert node.logged()["code"] == 5
    for descriptor in {*options.values(), *(ends if stdout != "nobody reads" else ())}:
        os.close(descriptor)


def test_a_del_waits_two_seconds_for_an_agent_that_is_away_and_thirty_for_one_that_hangs(
    node: Node, show: Callable[[str], None]
) -> None:
    started = time.monotonic()
    assert node.call("DEL") == (0, {})
    away = time.monotonic() - started
    with agent(node, lambda method: None):
        started = time.monotonic()
        assert node.call("DEL") == (0, {})
        hung = time.monotonic() - started
    show(f"DEL: {away:.1f} s with nobody listening, {hung:.1f} s with an agent that hangs")
    assert 2 <= away < 2.5
    assert 30 <= hung < 30.5
    assert len(node.pending()) == 1


def test_an_add_waits_three_seconds_for_an_agent_that_restarts(node: Node) -> None:
    started = time.monotonic()
    status, printed = node.call("ADD")
    assert 3 <= time.monotonic() - started < 3.5
    assert (status, printed["code"]) == (1, 11)
    assert "POST /v1/ipam/ip, tried for 3 s" in printed["msg"]


@pytest.mark.parametrize("obstacle", ["a full disk", "a read-only one"])
def test_a_del_that_cannot_be_written_down_fails_and_is_no_success_to_containerd(obstacle: str, node: Node) -> None:
    mount = "mount -t tmpfs -o size=4k,nr_inodes=10 none /var/lib/spiderpool-ipam"
    if obstacle == "a full disk":
        mount += " && mkdir /var/lib/spiderpool-ipam/pending && ! head -c 8000 /dev/zero >/var/lib/spiderpool-ipam/x"
    else:
        mount = "mount -o remount,ro,bind /var/lib/spiderpool-ipam"
    status, printed = node.call("DEL", "/bin/sh", "-c", f'{{ {mount}; }} 2>/dev/null && exec "$0"')
    assert (status, printed["code"]) == (1, 11)
    words = (printed["msg"] + printed["details"]).lower()
    assert "cannot be written down" in words
    assert "not found" not in words
    assert "no such file" not in words


FAILURE = b'HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\n"oops"'


def trace_of(node: Node, *options: str) -> list[str]:
    strace = requirements.need_program("strace")
    output = node.folder / "trace"
    status, printed = node.call("DEL", strace, "-f", "-y", "-o", output, *options)
    assert (status, printed) == (0, {}), printed
    return output.read_text().splitlines()


def place(lines: list[str], pattern: str) -> int:
    """Return the number of the only line that matches."""
    (found,) = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    return found


def test_a_pending_release_and_its_folder_are_on_disk_before_a_del_succeeds(node: Node) -> None:
    with agent(node, lambda method: FAILURE):
        lines = trace_of(node, "-e", "trace=write,fsync,fdatasync,rename,mkdir,exit_group")
    folder = "/var/lib/spiderpool-ipam/pending"
    order = [
        place(lines, rf'mkdir\("{folder}", 0700\) += 0'),
        place(lines, r"fsync\(\d+</var/lib/spiderpool-ipam>\) += 0"),
        place(lines, rf'write\(\d+<{folder}/\.new>, .*\) = \d+'),
        place(lines, rf"fsync\(\d+<{folder}/\.new>\) += 0"),
        place(lines, rf'rename\("{folder}/\.new", "{folder}/net~u1~eth0\.release"\) += 0'),
        place(lines, rf"fsync\(\d+<{folder}>\) += 0"),
        place(lines, r"exit_group\(0\)"),
    ]  # fmt: skip
    assert order == sorted(order)


def test_killed_at_any_call_a_del_leaves_a_whole_record_or_none_and_had_not_succeeded(
    node: Node, show: Callable[[str], None]
) -> None:
    strace = requirements.need_program("strace")
    whole = none = 0
    # `when` counts from the start of the process; before the last ones the interpreter is still starting.
    names = ("openat", "socket", "connect", "recvfrom", "mkdir", "fcntl", "write", "fsync", "rename", "close")
    with agent(node, lambda method: FAILURE):
        for name in names:
            shutil.rmtree(node.state / "pending", ignore_errors=True)
            total = len([line for line in trace_of(node, "-e", f"trace={name}") if f" {name}(" in line])
            for number in range(max(1, total - 9), total + 1):
                shutil.rmtree(node.state / "pending", ignore_errors=True)
                injected = f"inject={name}:signal=SIGKILL:when={number}"
                with node.start("DEL", strace, "-f", "-o", "/dev/null", "-e", injected) as process:
                    process.communicate(timeout=60)
                assert process.returncode == -signal.SIGKILL, (name, number)
                for record in node.pending():
                    assert json.loads(record)["release"]["containerID"] == "c1"
                whole, none = whole + len(node.pending()), none + (not node.pending())
            # And whoever comes next is not hindered by what the last one left.
            assert node.call("DEL") == (0, {})
            assert len(node.pending()) == 1
    show(f"DEL killed at {whole + none} calls: {whole} times the whole record was there, {none} times none")
    assert whole
    assert none


def test_what_was_pending_is_released_by_the_next_del(node: Node, tmp_path: Path) -> None:
    embedded = Agent(tmp_path)
    try:
        for container in ("c1", "c2"):
            assert node.call("ADD", container=container)[0] == 0
        moved = node.socket.rename(tmp_path / "moved")
        assert node.call("DEL", container="c1") == (0, {})
        moved.rename(node.socket)
        assert len(node.pending()) == 1
        assert node.call("DEL", container="c2") == (0, {})
        assert (node.pending(), embedded.held()) == ([], [])
    finally:
        embedded.stop()
