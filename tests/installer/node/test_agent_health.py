"""Whether an agent answers, asked over real sockets."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.deadline import Deadline
from cni.installer.node import agent_health
from cni.installer.node.agent_health import AgentError
from cni.installer.node.folders import resolve_folders
from cni.installer.node.host_root import HostRoot
from tests.installer.health_agent import HealthAgent, dripping
from tests.waiting import SLACK

NAME = "/run/spidernet/spiderpool.sock"  # what the node calls it


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run/s.sock"


@pytest.fixture
def agent(path: Path) -> Iterator[Callable[..., HealthAgent]]:
    started: list[HealthAgent] = []

    def start(**options: Any) -> HealthAgent:
        started.append(HealthAgent(path, **options))
        deadline = Deadline(SLACK)
        while not options.get("delay") and not path.exists() and deadline.left():
            time.sleep(0.01)
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_an_agent_that_answers_200_is_healthy(path: Path, agent: Callable[..., HealthAgent]) -> None:
    assert (agent().asked, agent_health.fault(path)) == (0, "")


def test_another_status_is_the_fault(path: Path, agent: Callable[..., HealthAgent]) -> None:
    agent(status=503)
    assert agent_health.fault(path) == "HTTP status 503"


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_no_socket_is_told(is_file: bool, path: Path) -> None:
    path.parent.mkdir()
    if is_file:
        path.touch()
    assert "there is no such socket" in agent_health.fault(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpcore leaves closing to Python
def test_a_socket_that_nobody_listens_on_is_a_fault(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert "refused" in agent_health.fault(path)


@pytest.mark.parametrize("answer", [b"", b"\0\xff\r\n\r\n", b"HTTP/1.1 2"])
def test_an_answer_that_is_none_is_a_fault(answer: bytes, path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(SLACK)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        assert agent_health.fault(path)
        serving.join()


def test_an_agent_that_hangs_is_a_fault_in_time(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        started = time.monotonic()
        assert "timed out" in agent_health.fault(path)
    assert time.monotonic() - started < 2 + SLACK


def test_so_is_one_that_answers_byte_by_byte(path: Path) -> None:
    path.parent.mkdir()
    with dripping(path, b"HTTP/1.1 200 OK\r\nX-Name: " + b"x" * 1000):
        started = time.monotonic()
        assert agent_health.fault(path) == "timed out"
        assert time.monotonic() - started < 2 + SLACK


def test_waiting_ends_when_the_agent_has_come_and_is_reported_once(
    path: Path, agent: Callable[..., HealthAgent]
) -> None:
    said: list[str] = []
    agent(delay=1.2)
    agent_health.wait(path, NAME, Deadline(20), said.append)
    (line,) = said
    assert line.startswith(f"waiting up to 20 s for the spiderpool-agent on {NAME}: there is no such socket")


def test_a_healthy_agent_is_not_waited_for(path: Path, agent: Callable[..., HealthAgent]) -> None:
    made = agent()
    said: list[str] = []
    agent_health.wait(path, NAME, Deadline(0), said.append)
    assert (made.asked, said) == (1, [])


def test_who_waits_in_vain_is_told_for_what_and_what_to_do(path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(AgentError) as error:
        agent_health.wait(path, NAME, Deadline(1), lambda _: None)
    assert 0.9 < time.monotonic() - started < 1 + SLACK
    for part in (NAME, "within 1 s", "no such socket", "--wait-agent 0"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "var/run/spidernet/spiderpool.sock"),
        ({"ipam_unix_socket_path": "/run/x.sock"}, "run/x.sock"),
        ({"ipam_unix_socket_path": ""}, "var/run/spidernet/spiderpool.sock"),
        ({"ipam_unix_socket_path": None}, "var/run/spidernet/spiderpool.sock"),
        ({"ipam_unix_socket_path": 7}, "var/run/spidernet/spiderpool.sock"),
        ({"ipam_unix_socket_path": "/link/x.sock"}, "run/x.sock"),
    ],
)
def test_the_socket_is_the_one_that_our_ipam_names_inside_the_nodes_root(
    settings: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/run")
    folders = resolve_folders(HostRoot(tmp_path), "/opt/cni/bin", "/etc/cni/net.d")
    assert agent_health.socket_path(folders, settings) == tmp_path / expected
