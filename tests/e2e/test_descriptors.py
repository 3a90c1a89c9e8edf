"""The frozen plugin gets standard streams as others set them up: non-blocking, full, closed, a folder, a socket."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.e2e.frozen_plugin import LARGE, OK, SMALL, FrozenPlugin, agent, found
from tests.waiting import SLACK, wait_for

TAKES_STDIN = "it opens a file of its own in the place of a closed stdin"
PRINT_TIMEOUT = 2  # seconds that the plugin waits for a reader of stdout, at least


@pytest.fixture
def plugin(tmp_path: Path) -> FrozenPlugin:
    (tmp_path / "var-log").mkdir()
    return FrozenPlugin(tmp_path)


def configuration(plugin: FrozenPlugin, **more: Any) -> bytes:
    ipam = {"ipam_unix_socket_path": str(plugin.socket), "log_file_path": str(plugin.log), **more}
    return json.dumps({"cniVersion": "1.1.0", "name": "net", "ipam": ipam}).encode()


def start(
    plugin: FrozenPlugin, redirections: str, *descriptors: int, command: str = "ADD", **ipam: Any
) -> subprocess.Popen[str]:
    """Start a call whose streams a shell sets up: `<&3` takes a descriptor of ours, `>&-` closes one.

    Where the redirections say nothing else, stdin holds the configuration, with the members of `ipam` in addition.
    """
    file = plugin.folder / "configuration"
    file.write_bytes(configuration(plugin, **ipam))
    # What a call without a configuration logs goes to the test's folder as well.
    script = f'mount --bind {plugin.folder}/var-log /var/log && exec "$0" <{file} {redirections}'
    return plugin.start(command, "/bin/bash", "-c", script, pass_fds=descriptors)


def end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """Wait for a call; return its status and what it printed to a pipe of ours, {} for nothing."""
    with process:
        stdout, stderr = process.communicate(timeout=60)
    assert "Fatal Python error" not in stdout
    assert not stderr, stderr
    return process.returncode, json.loads(stdout or "{}")


@contextmanager
def answering(plugin: FrozenPlugin, body: dict[str, Any] = SMALL) -> Iterator[list[str]]:
    """Serve ADDs and releases; yield the methods of the requests."""
    with agent(plugin, lambda method: OK if method == "DELETE" else found(body)) as heard:
        yield heard.requests


@contextmanager
def streams(kind: str) -> Iterator[tuple[FileIO, FileIO]]:
    """Yield the end of a pipe or a socket that is read, and the one that is written. A test may close them itself."""
    ends = [end.detach() for end in socket.socketpair()] if "socket" in kind else os.pipe()
    for descriptor in ends:
        os.set_blocking(descriptor, not kind.startswith("non-blocking"))
    with FileIO(ends[0], "r") as reader, FileIO(ends[1], "w") as writer:
        yield reader, writer


def is_blocking(stream: FileIO) -> bool:
    return os.get_blocking(stream.fileno())


def fill(writer: FileIO) -> None:
    """Fill a pipe or a socket with white space, which means nothing before a JSON object."""
    was_blocking = is_blocking(writer)
    os.set_blocking(writer.fileno(), False)
    for piece in (b" " * 4096, b" "):
        while writer.write(piece) is not None:
            pass
    os.set_blocking(writer.fileno(), was_blocking)


def read_until_the_end(reader: FileIO, process: subprocess.Popen[str]) -> bytes:
    """Return all that a call prints. (The test keeps the other end open, so the stream does not end.)"""
    os.set_blocking(reader.fileno(), False)
    printed = b""
    while True:
        has_ended = process.poll() is not None
        piece = reader.read(65536)
        if piece is None and has_ended:
            return printed
        printed += piece or b""
        time.sleep(0.001)


@pytest.mark.parametrize("pauses", [[0.3], [0.2, 0.2, 0.2]], ids=["at once", "in three pieces"])
@pytest.mark.parametrize("kind", ["non-blocking pipe", "blocking pipe"])
def test_a_stdin_that_is_still_empty_is_waited_for(kind: str, pauses: list[float], plugin: FrozenPlugin) -> None:
    with answering(plugin) as heard, streams(kind) as (reader, writer):
        process = start(plugin, f"<&{reader.fileno()}", reader.fileno())
        text = configuration(plugin)
        size = -(-len(text) // len(pauses))
        for number, pause in enumerate(pauses):
            time.sleep(pause)
            assert (process.poll(), heard) == (None, [])
            writer.write(text[number * size : (number + 1) * size])
        writer.close()
        status, printed = end(process)
        assert is_blocking(reader) == (kind == "blocking pipe")
    assert (status, printed["ips"], heard) == (0, [{"address": "10.244.100.10/16"}], ["POST"])


@pytest.mark.parametrize("kind", ["a folder", "closed", "write-only", "a socket without a peer"])
def test_a_stdin_that_cannot_be_read_is_code_5(kind: str, plugin: FrozenPlugin, tmp_path: Path) -> None:
    if kind == "closed":
        requirements.need_no_emulator(TAKES_STDIN)
    with answering(plugin) as heard, socket.socket(socket.AF_UNIX) as alone:
        redirections = {
            "a folder": "</",
            "closed": "<&-",
            "write-only": f"0>{tmp_path}/file",
            "a socket without a peer": f"<&{alone.fileno()}",
        }
        status, printed = end(start(plugin, redirections[kind], alone.fileno()))
    assert (status, printed["code"], heard) == (1, 5, [])
    assert "stdin" in printed["msg"]


def test_stdin_may_be_a_unix_socket(plugin: FrozenPlugin) -> None:
    with answering(plugin) as heard, streams("non-blocking socket") as (reader, writer):
        process = start(plugin, f"<&{reader.fileno()}", reader.fileno())
        time.sleep(0.2)
        writer.write(configuration(plugin))
        writer.close()
        assert end(process)[0] == 0
        assert not is_blocking(reader)
    assert heard == ["POST"]


def test_without_any_stream_it_fails_and_asks_nothing(plugin: FrozenPlugin) -> None:
    requirements.need_no_emulator(TAKES_STDIN)
    with answering(plugin) as heard:
        assert end(start(plugin, "<&- >&- 2>&-")) == (1, {})
    logged = json.loads((plugin.folder / "var-log/spidernet/spiderpool.log").read_text())
    assert (logged["code"], heard) == (5, [])


def test_a_del_needs_neither_stdout_nor_stderr(plugin: FrozenPlugin) -> None:
    with answering(plugin) as heard:
        assert end(start(plugin, ">&- 2>&-", command="DEL")) == (0, {})
    assert (plugin.logged()["code"], heard) == (0, ["DELETE"])


@pytest.mark.parametrize("kind", ["non-blocking pipe", "blocking pipe", "non-blocking socket", "socket"])
def test_a_full_stdout_that_is_emptied_late_gets_the_whole_result(kind: str, plugin: FrozenPlugin) -> None:
    with answering(plugin, LARGE) as heard, streams(kind) as (reader, writer):
        fill(writer)
        with start(plugin, f">&{writer.fileno()}", writer.fileno()) as process:
            wait_for(lambda: heard == ["POST"], "the request")
            time.sleep(0.5)
            assert process.poll() is None
            printed = read_until_the_end(reader, process)
        assert is_blocking(writer) == (not kind.startswith("non-blocking"))
    assert (process.returncode, heard) == (0, ["POST"])
    assert [route["dst"] for route in json.loads(printed)["routes"]] == [
        f"10.{n // 256}.{n % 256}.0/24" for n in range(3000)
    ]


@pytest.mark.parametrize("kind", ["non-blocking pipe", "blocking pipe", "non-blocking socket", "socket"])
def test_a_full_stdout_that_nobody_empties_ends_the_add_which_is_released(
    kind: str, plugin: FrozenPlugin, show: Callable[[str], None]
) -> None:
    with answering(plugin) as heard, streams(kind) as (reader, writer):
        fill(writer)
        started = time.monotonic()
        with start(plugin, f">&{writer.fileno()}", writer.fileno(), request_timeout=1) as process:
            _, stderr = process.communicate(timeout=60)
        took = time.monotonic() - started
        assert is_blocking(writer) == (not kind.startswith("non-blocking"))
        printed = read_until_the_end(reader, process)
    show(f"ADD whose stdout, a {kind}, stays full: {took:.1f} s")
    assert took < PRINT_TIMEOUT + SLACK
    assert (process.returncode, heard, stderr, printed.strip()) == (1, ["POST", "DELETE"], "", b"")
    assert (plugin.logged()["code"], plugin.logged()["outcome"]) == (5, "error")


@pytest.mark.parametrize("kind", ["a folder", "read-only"])
def test_an_add_whose_stdout_cannot_be_written_is_released(kind: str, plugin: FrozenPlugin) -> None:
    redirection = {"a folder": "1</", "read-only": "1</dev/null"}[kind]
    with answering(plugin) as heard:
        assert end(start(plugin, redirection)) == (1, {})
    assert (plugin.logged()["code"], heard) == (5, ["POST", "DELETE"])


@pytest.mark.parametrize("redirection", ["2>&-", "2</", "2</dev/null"], ids=["closed", "a folder", "read-only"])
@pytest.mark.parametrize("log", ["a log", "no log, of which it would warn"])
def test_an_add_needs_no_stderr(redirection: str, log: str, plugin: FrozenPlugin) -> None:
    more = {} if log == "a log" else {"log_file_path": str(plugin.folder)}
    with answering(plugin) as heard:
        status, printed = end(start(plugin, redirection, **more))
    assert (status, printed["ips"], heard) == (0, [{"address": "10.244.100.10/16"}], ["POST"])


@pytest.mark.parametrize("kind", ["non-blocking pipe", "blocking pipe"])
def test_a_full_stderr_does_not_hold_an_add_that_would_warn(kind: str, plugin: FrozenPlugin) -> None:
    with answering(plugin) as heard, streams(kind) as (_, writer):
        fill(writer)
        with start(plugin, f"2>&{writer.fileno()}", writer.fileno(), log_file_path=str(plugin.folder)) as process:
            try:
                stdout, _ = process.communicate(timeout=PRINT_TIMEOUT + SLACK)
            finally:
                process.kill()
    assert (process.returncode, json.loads(stdout)["ips"]) == (0, [{"address": "10.244.100.10/16"}])
    assert heard == ["POST"]


@pytest.mark.parametrize("redirection", ["2>&-", "2</", "2>/dev/full"], ids=["closed", "a folder", "full"])
def test_without_a_command_a_stderr_that_cannot_be_written_is_no_traceback(
    redirection: str, plugin: FrozenPlugin, tmp_path: Path
) -> None:
    strace = requirements.need_program("strace")
    before: list[str | Path] = [strace, "-f", "-o", tmp_path / "trace", "-e", "trace=write"]
    script = f'exec "$0" "$@" {redirection}'
    status, printed = end(plugin.start("", "/bin/bash", "-c", script, *before))
    assert "spiderpool: the CNI IPAM plugin" in (tmp_path / "trace").read_text()
    assert "Traceback" not in (tmp_path / "trace").read_text()
    assert (status in (0, 1), printed) == (True, {})


@pytest.mark.parametrize(
    ("redirections", "prints"),
    [("</", True), ("<&-", True), (">&-", False), ("1</", False), ("2>&-", True), ("<&- >&- 2>&-", False)],
    ids=["stdin a folder", "stdin closed", "stdout closed", "stdout a folder", "stderr closed", "all closed"],
)
def test_the_operators_program_bears_such_streams_too(redirections: str, prints: bool) -> None:
    program = requirements.need_frozen("spiderpool-ipam")
    script = f'exec "$0" version {redirections}'
    done = subprocess.run(["/bin/bash", "-c", script, program], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "Fatal Python error" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert done.stdout.startswith("spiderpool-ipam ") == prints
    assert done.returncode in ((0,) if prints else (0, 1))
