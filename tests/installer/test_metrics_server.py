"""Clients of the metrics that are slow, many, or gone."""

import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Gauge

from cni.installer import metrics_server
from cni.installer.metrics_server import CONNECTIONS
from tests.waiting import SLACK

LIMIT = 1.0  # seconds, here


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(metrics_server, "TIME_LIMIT", LIMIT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free: int = server.getsockname()[1]
    registry = CollectorRegistry()
    Gauge("answer", "What is served", registry=registry).set(42)
    metrics_server.serve("127.0.0.1", free, registry)
    return free


def get(port: int, path: str = "/metrics") -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path)
    answer = client.getresponse()
    return answer.status, answer.read()


def is_closed(client: socket.socket) -> bool:
    client.settimeout(LIMIT + SLACK)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_nine_slow_clients_hold_eight_connections_and_the_others_get_theirs_in_time(port: int) -> None:
    with ExitStack() as stack:
        before = threading.active_count()
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS + 1)]
        for client in clients:
            client.send(b"GET /metrics HTTP/1.1\r\nX: ")
        time.sleep(LIMIT / 2)
        assert threading.active_count() - before == CONNECTIONS
        started = time.monotonic()
        status, body = get(port)
        assert (status, b"answer 42.0" in body) == (200, True)
        assert time.monotonic() - started < LIMIT + SLACK
        assert all(map(is_closed, clients))


def test_a_client_that_sends_a_byte_now_and_then_has_no_more_time(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        started = time.monotonic()
        client.send(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises(OSError):
            while time.monotonic() - started < 10 * LIMIT + SLACK:
                client.send(b"X")
                time.sleep(LIMIT / 10)
        assert time.monotonic() - started < 2 * LIMIT + SLACK


def reset(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.send(b"GET /metrics HTTP/1.1\r\n\r\n")


def send_nonsense(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")


def hang_up(port: int) -> None:
    socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize("client", [reset, send_nonsense, hang_up])
def test_clients_that_fail_use_up_no_connection_and_write_nothing_to_stderr(
    port: int, client: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3 * CONNECTIONS):
        client(port)
    assert get(port)[0] == 200
    assert capfd.readouterr().err == ""


def test_many_clients_at_once_are_all_served(port: int) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(get(port)[0])) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 50


def test_an_address_is_bound_without_asking_dns_for_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer would keep watch from its first check. Such a resolver cannot be had here."""
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("asked for the name"))
    metrics_server.serve("127.0.0.1", 0, CollectorRegistry())
