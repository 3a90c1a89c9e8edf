"""What becomes of the addresses of an ADD that fails, and of a DEL that waits for the agent."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni.plugin import operations
from tests.plugin.node import Node
from tests.plugin.pending_releases import answer, scripted_agent
from tests.waiting import SLACK

Conversation = Callable[[socket.socket], None]


@contextmanager
def agent_of(path: Path, *conversations: Conversation) -> Iterator[list[bytes]]:
    """Serve one connection after the other as told; yields what each sent first."""
    heard: list[bytes] = []

    def work(listener: socket.socket) -> None:
        for conversation in conversations:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                conversation(connection)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=work, args=(listener,), daemon=True)
        thread.start()
        yield heard
        thread.join()
    path.unlink()


def wait_for_the_end(connection: socket.socket) -> None:
    assert connection.recv(1) == b"", "the connection is closed at the deadline"


def test_an_add_that_the_agent_never_answers_ends_at_the_deadline_and_is_released_later(node: Node) -> None:
    with agent_of(node.socket, wait_for_the_end):
        started = time.monotonic()
        printed = node.call("ADD", request_timeout=1)
        assert 1 <= time.monotonic() - started < 1 + SLACK
    assert printed["code"] == 11
    assert re.search(r"did not answer POST /v1/ipam/ip within [\d.]+ s", printed["msg"])
    assert node.containers() == ["c1"]


def test_an_add_whose_agent_dies_before_it_answers_is_released_later(node: Node) -> None:
    with agent_of(node.socket, lambda connection: None):
        started = time.monotonic()
        printed = node.call("ADD")  # whose release nobody accepts
        assert time.monotonic() - started < 2 + SLACK
    assert printed["code"] == 11
    assert node.containers() == ["c1"]
    assert "not given back yet" in node.last_line["warning"]


def test_an_add_whose_agent_is_back_in_time_is_released_at_once(node: Node) -> None:
    with agent_of(node.socket, lambda connection: None, lambda connection: connection.sendall(answer(200))) as heard:
        printed = node.call("ADD")
    assert printed["code"] == 11
    assert [request.split()[0] for request in heard] == [b"POST", b"DELETE"]
    assert node.containers() == []


def test_an_add_that_was_refused_or_not_heard_leaves_nothing_pending(node: Node) -> None:
    assert node.call("ADD")["code"] == 11
    with scripted_agent(node.socket, {b"POST": answer(500, b'"all IP addresses used out"')}):
        assert node.call("ADD")["code"] == 100
    assert node.containers() == []


def test_a_del_gives_up_connecting_long_before_it_gives_up_an_answer(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "LIMITS", {"DEL": (1, 0.3, 0.2)})
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(node.socket))
        listener.listen(0)
        first.connect(str(node.socket))  # no place left in the queue
        started = time.monotonic()
        assert node.call("DEL") == {}
        assert 0.3 <= time.monotonic() - started < 0.3 + SLACK
    node.socket.unlink()
    with agent_of(node.socket, wait_for_the_end):
        started = time.monotonic()
        assert node.call("DEL") == {}
        assert 1 <= time.monotonic() - started < 1 + SLACK
    assert node.containers() == ["c1"]


def test_an_add_that_owes_a_release_does_not_outlast_its_deadline_to_send_it(node: Node) -> None:
    node.call("DEL")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(node.socket))
        listener.listen(0)
        first.connect(str(node.socket))  # no place left in the queue
        assert node.call("ADD", request_timeout=1)["code"] == 11
    assert node.last_line["warning"] == "not given back yet: the agent is silent"
    assert node.containers() == ["c1"]
