"""How the client connects and is cut off: patience, its pauses, and what it says of a connection that ends."""

import ctypes
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni.deadline import Deadline
from cni.errors import BAD_AGENT_ANSWER, TRY_AGAIN_LATER, CNIError
from cni.plugin import agent_client, interrupts
from cni.plugin.agent_client import AgentClient
from tests import requirements
from tests.waiting import SLACK

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def listening(path: Path, converse: Callable[[socket.socket], None]) -> Iterator[None]:
    """Handle one connection as told."""

    def work() -> None:
        connection, _ = listener.accept()
        with connection:
            converse(connection)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=work)
        thread.start()
        yield
        thread.join()


def answer(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(OK)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made; they take no time, but the deadlines pass by as much."""
    made: list[float] = []
    began = time.monotonic()
    monkeypatch.setattr(interrupts, "sleep", made.append)
    monkeypatch.setattr(time, "monotonic", lambda: began + sum(made))
    return made


def ask(path: Path, retry: float = 3, timeout: float = 100) -> CNIError:
    with pytest.raises(CNIError) as raised:
        AgentClient(str(path), Deadline(timeout), retry).ask("GET", "/x")
    return raised.value


def test_after_the_last_pause_comes_one_last_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()

    def converse() -> None:
        connection, _ = listener.accept()
        with connection:
            answer(connection)

    with socket.socket(socket.AF_UNIX) as listener:
        thread = threading.Thread(target=converse)

        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            if time.monotonic() - began >= 0.5:  # it is back when no time is left for another pause
                listener.bind(str(tmp_path / "s"))
                listener.listen()
                thread.start()

        monkeypatch.setattr(interrupts, "sleep", sleep)
        assert AgentClient(str(tmp_path / "s"), Deadline(100), 0.5).ask("GET", "/x") == (200, b"")
        thread.join()


@pytest.mark.parametrize("queue", ["missing", "full"])
def test_the_last_attempt_is_made_at_the_deadline_as_well(
    queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []
    deadline = Deadline(0.3)
    error = FileNotFoundError if queue == "missing" else BlockingIOError

    class Connection(socket.socket):
        def connect(self, address: object) -> None:
            attempts.append(deadline.left())
            raise error

    monkeypatch.setattr(agent_client, "socket", Connection)
    with pytest.raises(CNIError):
        AgentClient(str(tmp_path / "s"), deadline, 3).ask("GET", "/x")
    assert attempts[-1] == 0
    assert attempts[-2] > 0


def test_the_pauses_double_up_to_a_cap_and_are_cut_at_the_end(tmp_path: Path, pauses: list[float]) -> None:
    ask(tmp_path / "s", retry=60)
    assert sum(pauses) == pytest.approx(60)
    for pause, middle in zip(pauses, [0.05, 0.1, 0.2, *[0.4] * 1000], strict=False):
        assert pause <= middle * 1.5
    assert all(pause >= middle / 2 for pause, middle in zip(pauses[:-1], [0.05, 0.1, 0.2, *[0.4] * 1000], strict=False))


def test_the_pauses_differ_so_that_a_nodes_pods_do_not_all_come_back_at_once(
    tmp_path: Path, pauses: list[float]
) -> None:
    ask(tmp_path / "s", retry=600)
    capped = pauses[3:-1]
    assert len(set(capped)) > 100
    assert min(capped) < 0.25
    assert max(capped) > 0.55
    assert 0.37 < statistics.mean(capped) < 0.43


def test_nothing_is_sent_when_no_time_is_left(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with listening(tmp_path / "s", lambda connection: heard.append(connection.recv(65536))):
        assert ask(tmp_path / "s", timeout=0).code == TRY_AGAIN_LATER
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(tmp_path / "s"))
    assert heard == [b""]


def reset(connection: socket.socket) -> None:
    """End the connection with bytes of the request unread, so that the kernel resets it."""
    connection.recv(10)


def reset_after_a_part(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
    connection.recv(10)


def test_a_connection_that_is_reset_in_the_middle_of_a_request_is_no_agent_that_cannot_be_reached(
    tmp_path: Path,
) -> None:
    with listening(tmp_path / "s", reset):
        error = ask(tmp_path / "s")
    assert error.code == TRY_AGAIN_LATER
    assert error.msg == "the spiderpool-agent closed the connection without an answer to GET /x: is it restarting?"


def test_a_connection_that_is_reset_in_the_middle_of_an_answer_is_an_answer_that_is_cut(tmp_path: Path) -> None:
    with listening(tmp_path / "s", reset_after_a_part):
        error = ask(tmp_path / "s")
    assert error.code == BAD_AGENT_ANSWER
    assert "the answer is cut" in error.details


def test_an_answer_that_comes_before_the_request_is_read_whole_is_heard(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RD)  # whoever sends more gets EPIPE
        time.sleep(0.2)

    with listening(tmp_path / "s", refuse):
        body = {"text": "x" * 5_000_000}
        assert AgentClient(str(tmp_path / "s"), Deadline(20)).ask("POST", "/x", body) == (200, b"")


def test_an_agent_that_does_not_read_a_long_request_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with listening(tmp_path / "s", lambda connection: time.sleep(0.8)):
        started = time.monotonic()
        with pytest.raises(CNIError) as raised:
            AgentClient(str(tmp_path / "s"), Deadline(0.4)).ask("POST", "/x", {"text": "x" * 5_000_000})
        assert time.monotonic() - started < 0.4 + SLACK
    assert "did not answer POST /x within 0.4 s" in raised.value.msg


@contextmanager
def other_user() -> Iterator[None]:
    """Reach files as another user does, in this thread alone: os.seteuid would change all threads of the process."""
    setfsuid = ctypes.CDLL(None).setfsuid
    setfsuid(1000)
    try:
        yield
    finally:
        setfsuid(0)


def test_a_socket_that_may_not_be_used_is_not_taken_for_an_agent_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements.need_root()
    tmp_path.chmod(0o755)
    with listening(tmp_path / "s", answer):
        (tmp_path / "s").chmod(0o600)
        monkeypatch.chdir(tmp_path)  # the folders above belong to root alone
        with other_user():
            error = ask(Path("s"), retry=0)
        AgentClient(str(tmp_path / "s"), Deadline(20)).require_healthy()
    said = f"{error.msg}|{error.details}"
    assert said == (
        "cannot reach the spiderpool-agent on this node for GET /x: look at the socket and at ipam_unix_socket_path|"
        "s: Permission denied"
    )
