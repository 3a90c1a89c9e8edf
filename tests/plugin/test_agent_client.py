"""The client against sockets that answer late, badly or not at all; its answers' meanings are in the vectors."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from cni.contracts.agent_api import IpamBatchDelArgs
from cni.deadline import Deadline
from cni.errors import BAD_AGENT_ANSWER, TRY_AGAIN_LATER, CNIError
from cni.plugin.agent_client import NOTHING, SOMETHING, AgentClient
from cni.plugin.attachment import Attachment
from cni.plugin.netconf import NetConf
from tests.waiting import SLACK

ATTACHMENT = Attachment("c1", "eth0", "/netns", {})
NETCONF = NetConf({"name": "net", "ipam": {}})
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Serve = Callable[[socket.socket], None]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[[Serve], str]]:
    """Start a server that handles one connection as told; gives its path."""
    listener = socket.socket(socket.AF_UNIX)
    threads = []

    def start(serve: Serve) -> str:
        path = str(tmp_path / "s")
        listener.bind(path)
        listener.listen()

        def work() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        threads.append(threading.Thread(target=work))
        threads[0].start()
        return path

    yield start
    listener.close()
    for thread in threads:
        thread.join()


def hear_and_hang_up(connection: socket.socket) -> None:
    connection.recv(65536)


def hear_and_sleep(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(1)


def release(path: str, timeout: float = 5) -> CNIError:
    started = time.monotonic()
    with pytest.raises(CNIError) as raised:
        AgentClient(path, Deadline(timeout)).release(ATTACHMENT, NETCONF)
    assert time.monotonic() - started < timeout + SLACK
    return raised.value


def test_the_whole_request_arrives_and_the_writing_side_stays_open(agent: Callable[[Serve], str]) -> None:
    request = bytearray()
    seen: list[bytes | str] = []

    def serve(connection: socket.socket) -> None:
        request.extend(connection.recv(65536))
        connection.settimeout(0.2)
        try:
            seen.append(connection.recv(1))  # b"" is what Go's server takes for a gone client
        except TimeoutError:
            seen.append("open")
        connection.sendall(OK)

    AgentClient(agent(serve), Deadline(5)).release(ATTACHMENT, NETCONF)
    assert seen == ["open"]
    assert request.startswith(b"DELETE /v1/ipam/ip HTTP/1.1\r\nHost: ")
    assert b'"network":"net"' in request


def test_an_agent_that_answers_nothing_is_given_up_at_the_deadline(agent: Callable[[Serve], str]) -> None:
    error = release(agent(hear_and_sleep), timeout=0.3)
    assert error.code == TRY_AGAIN_LATER
    assert re.search(r"DELETE /v1/ipam/ip within [\d.]+ s", error.msg)


def test_a_dripping_agent_is_given_up_at_the_same_deadline(agent: Callable[[Serve], str]) -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            time.sleep(0.05)
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                return

    assert release(agent(drip), timeout=0.5).code == TRY_AGAIN_LATER


@pytest.fixture
def full_backlog(tmp_path: Path) -> Iterator[socket.socket]:
    """A listener whose queue of connections has no place left."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        first.connect(str(tmp_path / "s"))
        yield listener


def test_a_full_backlog_is_waited_for_until_the_deadline(full_backlog: socket.socket) -> None:
    started = time.monotonic()
    assert release(full_backlog.getsockname(), timeout=0.3).code == TRY_AGAIN_LATER
    assert time.monotonic() - started >= 0.3


def test_a_backlog_that_drains_serves_the_call(full_backlog: socket.socket) -> None:
    def drain() -> None:
        time.sleep(0.3)
        full_backlog.accept()[0].close()
        connection, _ = full_backlog.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(OK)

    thread = threading.Thread(target=drain)
    thread.start()
    AgentClient(full_backlog.getsockname(), Deadline(5)).release(ATTACHMENT, NETCONF)
    thread.join()


@pytest.mark.parametrize("make", ["nothing", "file", "closed"])
def test_nobody_listening_is_code_11_and_names_the_socket(make: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    if make == "file":
        path.touch()
    if make == "closed":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    error = release(str(path))
    assert error.code == TRY_AGAIN_LATER
    assert str(path) in error.details


@pytest.mark.parametrize("serve", [hear_and_hang_up, lambda connection: None], ids=["request read", "request unread"])
def test_an_agent_that_dies_before_it_answers_is_code_11(serve: Serve, agent: Callable[[Serve], str]) -> None:
    assert release(agent(serve)).code == TRY_AGAIN_LATER


def test_an_answer_that_is_cut_is_code_105(agent: Callable[[Serve], str]) -> None:
    def cut(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200")

    assert release(agent(cut)).code == BAD_AGENT_ANSWER


def test_an_add_whose_answer_has_begun_may_hold_an_address(agent: Callable[[Serve], str]) -> None:
    def stall(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        time.sleep(0.6)

    client = AgentClient(agent(stall), Deadline(0.3))
    with pytest.raises(CNIError, match=str(TRY_AGAIN_LATER)):
        client.add(ATTACHMENT, NETCONF)
    assert client.holds == SOMETHING


def test_an_add_that_nobody_answered_holds_nothing(tmp_path: Path) -> None:
    client = AgentClient(str(tmp_path / "s"), Deadline(1))
    with pytest.raises(CNIError, match=str(TRY_AGAIN_LATER)):
        client.add(ATTACHMENT, NETCONF)
    assert client.holds == NOTHING


def test_a_huge_answer_is_read_whole_and_cut_to_what_a_log_line_can_bear(agent: Callable[[Serve], str]) -> None:
    text = b'"' + b"x" * (15 * 2**20) + b'"'

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    assert release(agent(serve)).details == "x" * 65536


@pytest.mark.parametrize("away", ["missing", "refusing"])
def test_an_agent_that_restarts_is_waited_for(away: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    if away == "refusing":
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path)

    def come_back() -> None:
        time.sleep(0.5)
        (tmp_path / "s").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(OK)

    thread = threading.Thread(target=come_back)
    thread.start()
    AgentClient(path, Deadline(5), connect_retry=3).release(ATTACHMENT, NETCONF)
    thread.join()


@pytest.mark.parametrize(("retry", "timeout"), [(0.4, 5), (3, 0.4)], ids=["retry", "deadline"])
def test_an_agent_that_stays_away_is_code_11_with_operation_and_seconds(
    retry: float, timeout: float, tmp_path: Path
) -> None:
    started = time.monotonic()
    with pytest.raises(CNIError) as raised:
        AgentClient(str(tmp_path / "s"), Deadline(timeout), retry).add(ATTACHMENT, NETCONF)
    assert 0.4 <= time.monotonic() - started < 0.4 + SLACK
    assert raised.value.code == TRY_AGAIN_LATER
    assert "cannot reach the spiderpool-agent on this node for POST /v1/ipam/ip, tried for " in raised.value.msg


def test_a_connection_may_have_less_time_than_the_call(full_backlog: socket.socket) -> None:
    started = time.monotonic()
    with pytest.raises(CNIError, match=r"within [\d.]+ s"):
        AgentClient(full_backlog.getsockname(), Deadline(5), connect_timeout=0.3).release(ATTACHMENT, NETCONF)
    assert 0.3 <= time.monotonic() - started < 0.3 + SLACK


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (OK, ""),
        (b'HTTP/1.1 521 X\r\nContent-Length: 14\r\n\r\n"is stateless"', "521 is stateless"),
        (b"HTTP/1.1 522 X\r\nContent-Length: 0\r\n\r\n", "522"),
        (b"", "closed the connection without an answer to DELETE /v1/ipam/ips"),
    ],
    ids=["200", "521", "522", "gone"],
)
def test_a_conflicts_addresses_are_released_with_the_flag_and_a_refusal_is_told_not_raised(
    response: bytes, words: str, agent: Callable[[Serve], str]
) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(response)

    said = AgentClient(agent(serve), Deadline(5)).release_conflicting(ATTACHMENT, NETCONF)
    assert bool(said) == bool(words)
    assert words in said
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"DELETE /v1/ipam/ips HTTP/1.1")
    sent = TypeAdapter[Any](IpamBatchDelArgs).validate_json(body, strict=True)
    assert sent == json.loads(body)
    assert sent["isReleaseConflictIPs"] is True


def test_seconds_counts_the_time_in_the_agent(agent: Callable[[Serve], str]) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        time.sleep(0.2)
        connection.sendall(OK)

    client = AgentClient(agent(serve), Deadline(5))
    client.require_healthy()
    assert 0.2 <= client.seconds < 0.2 + SLACK
