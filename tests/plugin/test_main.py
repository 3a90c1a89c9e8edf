"""The whole plugin in process: whatever comes in, the caller gets what the specification promises."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cni import defaults
from cni.plugin import __main__ as plugin
from cni.plugin import check, operations, result

SILENT = {b"DEL", b"CHECK", b"STATUS", b"GC"}

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 200 OK\r\n\r\n{"ips":[{"version":4,"address":"10.244.100.10/16","nic":"eth0"}]}',
    b'HTTP/1.1 200 OK\r\n\r\n{"podNamespace":"","podName":"","podUID":"","node":"n","interfaces":[{"interface":"eth0",'
    b'"ipv4":"10.244.100.10/16"}]}',
    b'HTTP/1.1 200 OK\r\n\r\n{"ips":null,"routes":null}',
    b'HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\n"oops"',
    b'HTTP/1.1 404 X\r\nContent-Length: 6\r\n\r\n"none"',
    b"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\n{}",
    b'HTTP/1.1 501 X\r\nContent-Length: 2\r\n\r\n""',
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
    b"\xff\x00nonsense",
    b"",
]


class Agent:
    """Answers every request with one of ANSWERS or with bytes of any kind, and counts them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.heard: list[bytes] = []
        self.answer = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.heard.append(connection.recv(1 << 20))
                connection.sendall(self.answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        agent = Agent(f"{folder}/s")
        yield agent
        agent.close()


def call(environ: Mapping[bytes, bytes], stdin: bytes) -> tuple[int, bytes, bytes]:
    """Run the plugin; return exit status, stdout and stderr."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(stdin)
        source.seek(0)
        status = plugin.main(environ, source.fileno(), out.fileno(), err.fileno())
        out.seek(0)
        err.seek(0)
        return status, out.read(), err.read()


def keeps_the_promise(command: bytes, status: int, stdout: bytes) -> None:
    """Assert: one JSON object, or silence after a success of DEL, CHECK, STATUS, GC; exit 0 or 1."""
    assert status in (0, 1)
    if not stdout:
        assert status == 0
        assert command in SILENT
        return
    printed = json.loads(stdout)
    assert isinstance(printed, dict)
    assert (status == 1) == ("code" in printed)
    if status:
        assert printed["msg"]
        assert set(printed) <= {"cniVersion", "code", "msg", "details"}
        assert len(printed.get("details", "").encode()) <= plugin.DETAILS_LIMIT
        assert len((printed["msg"] + printed.get("details", "")).splitlines()) <= 1
        assert printed["code"] != 999, printed


ODD_BYTES = st.binary(max_size=20).filter(lambda value: b"\x00" not in value)
SOME_TEXT = st.text(max_size=8) | st.none() | st.integers() | st.lists(st.integers(), max_size=2)


def mostly(value: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda dice: other if dice == 7 else st.just(value))


def environments() -> st.SearchStrategy[dict[bytes, bytes]]:
    return st.fixed_dictionaries(
        {b"CNI_COMMAND": mostly(b"ADD", ODD_BYTES) | st.sampled_from(sorted(SILENT)) | st.just(b"VERSION")},
        optional={b"UNRELATED": ODD_BYTES},
    ).flatmap(
        lambda some: st.fixed_dictionaries(
            {
                **{key: st.just(value) for key, value in some.items()},
                b"CNI_CONTAINERID": mostly(b"c" * 64, ODD_BYTES),
                b"CNI_NETNS": mostly(b"/var/run/netns/x", ODD_BYTES),
                b"CNI_IFNAME": mostly(b"eth0", ODD_BYTES),
                b"CNI_PATH": mostly(b"/opt/cni/bin", ODD_BYTES),
                b"CNI_ARGS": mostly(b"IgnoreUnknown=1;K8S_POD_NAME=a;K8S_POD_NAMESPACE=b", ODD_BYTES),
            }
        )
    )


def documents(socket_path: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "cniVersion": mostly("1.1.0", SOME_TEXT) | st.sampled_from(["0.1.0", "0.2.0", "0.3.1", "1.0.0"]),
            "name": mostly("net", SOME_TEXT),
            "ipam": mostly({"ipam_unix_socket_path": socket_path}, SOME_TEXT),
        },
        optional={
            "type": mostly("calico", SOME_TEXT),
            "prevResult": mostly({"ips": [{"address": "10.244.100.10/32"}]}, SOME_TEXT),
            "cni.dev/valid-attachments": mostly([], st.none() | SOME_TEXT),
            "runtimeConfig": mostly({"ips": ["10.0.0.1"]}, SOME_TEXT),
        },
    )


def stdins(socket_path: str) -> st.SearchStrategy[bytes]:
    whole = documents(socket_path).map(lambda document: json.dumps(document).encode())
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    damaged = st.tuples(whole, st.integers(0, 200), st.binary(max_size=3)).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
    )
    kinds = {7: st.binary(max_size=200), 8: cut, 9: damaged, 10: damaged}
    return st.integers(0, 39).flatmap(lambda dice: kinds.get(dice, whole))


@pytest.mark.slow
def test_any_input_gives_one_object_or_silence_and_no_traceback(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, show: Callable[[str], None]
) -> None:
    monkeypatch.setattr(defaults, "LOG_PATH", str(tmp_path / "log"))
    monkeypatch.setattr(check, "RETRY", 0)
    limits = {command: (*limit[:2], 0) for command, limit in operations.LIMITS.items()}
    monkeypatch.setattr(operations, "LIMITS", limits)
    examples = 10_000
    calls = reached = 0

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(environments(), stdins(agent.path), st.sampled_from(ANSWERS) | st.binary(max_size=50))
    def any_input(environ: dict[bytes, bytes], stdin: bytes, answer: bytes) -> None:
        nonlocal calls, reached
        agent.answer = answer
        agent.heard.clear()
        status, stdout, stderr = call(environ, stdin)
        calls, reached = calls + 1, reached + bool(agent.heard)
        if environ[b"CNI_COMMAND"]:
            assert not stderr
            keeps_the_promise(environ[b"CNI_COMMAND"], status, stdout)

    any_input()
    show(f"any input: {calls} calls, {100 * reached // calls} % of them reached the agent")
    assert calls >= examples
    assert reached >= 0.3 * calls


def test_without_a_command_it_says_what_it_is_on_stderr_alone() -> None:
    status, stdout, stderr = call({}, b"")
    assert (status, stdout) == (0, b"")
    assert b"0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0" in stderr


@pytest.mark.parametrize("stderr", ["closed", "full"])
def test_a_stderr_that_cannot_be_written_is_no_failure(stderr: str) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    if stderr == "closed":
        os.close(descriptor)
    assert plugin.main({}, descriptor, descriptor, descriptor) == 0
    if stderr != "closed":
        os.close(descriptor)


def test_an_unforeseen_failure_is_code_999_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise SystemExit("by hand")

    monkeypatch.setattr(defaults, "LOG_PATH", str(tmp_path / "log"))
    monkeypatch.setattr(plugin, "run", fail)
    status, stdout, _ = call({b"CNI_COMMAND": b"ADD"}, b"{}")
    assert status == 1
    assert json.loads(stdout)["code"] == 999
    assert "by hand" in json.loads(stdout)["details"]


def test_a_closed_stdout_is_exit_status_1_and_logged(agent: Agent, tmp_path: Path) -> None:
    agent.answer = ANSWERS[1]
    ipam = {"ipam_unix_socket_path": agent.path, "log_file_path": str(tmp_path / "log")}
    reader, writer = os.pipe()
    os.close(reader)
    with tempfile.TemporaryFile() as source:
        source.write(json.dumps({"cniVersion": "1.0.0", "name": "net", "ipam": ipam}).encode())
        source.seek(0)
        environ = {b"CNI_COMMAND": b"ADD", b"CNI_CONTAINERID": b"c", b"CNI_NETNS": b"/n", b"CNI_IFNAME": b"eth0"}
        assert plugin.main({**environ, b"CNI_PATH": b"/"}, source.fileno(), writer, writer) == 1
    os.close(writer)
    assert json.loads((tmp_path / "log").read_text())["code"] == 5
    assert agent.heard[-1].startswith(b"DELETE /v1/ipam/ip "), "an address that nobody reported must not stay held"


def test_an_answer_that_fails_in_an_unforeseen_way_is_given_back(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(result, "render", fail)
    agent.answer = ANSWERS[1]
    ipam = {"ipam_unix_socket_path": agent.path, "log_file_path": str(tmp_path / "log")}
    environ = {b"CNI_COMMAND": b"ADD", b"CNI_CONTAINERID": b"c", b"CNI_NETNS": b"/n", b"CNI_IFNAME": b"eth0"}
    status, stdout, _ = call({**environ, b"CNI_PATH": b"/"}, json.dumps({"name": "net", "ipam": ipam}).encode())
    assert (status, json.loads(stdout)["code"]) == (1, 999)
    assert agent.heard[-1].startswith(b"DELETE /v1/ipam/ip ")


def test_a_broken_environment_is_logged_where_the_configuration_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(defaults, "LOG_PATH", str(tmp_path / "default"))
    document = {"name": "net", "ipam": {"log_file_path": str(tmp_path / "log")}}
    call({b"CNI_COMMAND": b"ADD"}, json.dumps(document).encode())
    assert json.loads((tmp_path / "log").read_text())["code"] == 4
    assert not (tmp_path / "default").exists()


def test_long_words_of_the_agent_are_cut_for_the_event_and_whole_in_the_log(agent: Agent, tmp_path: Path) -> None:
    words = "pool ä\n\x1b[31m" * 200
    body = json.dumps(words).encode()
    agent.answer = b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    ipam = {"ipam_unix_socket_path": agent.path, "log_file_path": str(tmp_path / "log")}
    environ = {b"CNI_COMMAND": b"ADD", b"CNI_CONTAINERID": b"c", b"CNI_NETNS": b"/n", b"CNI_IFNAME": b"eth0"}
    document = {"cniVersion": "1.0.0", "name": "net", "ipam": ipam, "k8s_auth_token": "secret-in-stdin"}
    args = b"IgnoreUnknown=1;TOKEN=secret-in-args;K8S_POD_NAME=a"
    status, stdout, _ = call({**environ, b"CNI_PATH": b"/", b"CNI_ARGS": args}, json.dumps(document).encode())
    printed = json.loads(stdout)
    assert (status, printed["code"]) == (1, 100)
    assert len(printed["details"].encode()) in range(295, 301)
    assert printed["details"].endswith("…")
    logged = (tmp_path / "log").read_text()
    assert json.loads(logged)["details"] == words
    assert json.loads(logged)["podName"] == "a"
    assert "secret" not in logged + stdout.decode()
