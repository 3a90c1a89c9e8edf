"""The agent as a process: its socket, its locks, how it stops, and that being killed loses and doubles nothing."""

import json
import os
import random
import resource
import signal
import socket
import stat
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agent.agent_process import Agent, add_args, pool, running_agent, start, write_pools
from tests.waiting import SLACK


@pytest.fixture
def pools(tmp_path: Path) -> Path:
    six = pool("six", "fd00::1-fd00::ffff:ffff:ffff:fff0", subnet="fd00::/64", default=True)
    return write_pools(tmp_path / "pools.yaml", pool("four", "10.244.0.1-10.244.255.254", default=True), six)


def _refusal(socket_path: Path, pools: Path, state: Path) -> str:
    """Start an agent that has to refuse; return what it says."""
    log = Path(f"{state}.log")
    before = log.read_text() if log.exists() else ""
    with start(socket_path, pools, state) as process:
        stdout, _ = process.communicate(timeout=30)
        assert (process.returncode, stdout) == (1, "")
    (line,) = log.read_text().removeprefix(before).splitlines()
    return line


def test_one_line_on_stdout_says_that_it_serves(tmp_path: Path) -> None:
    one = write_pools(tmp_path / "one.yaml", pool("a", "10.244.100.10-10.244.100.200"))
    with running_agent(tmp_path, one) as agent:
        assert agent.first_line == f"spiderpool-ipam agent: serving 1 pool (191 addresses) on {agent.socket_path}\n"
        agent.add(add_args("u", defaultIPv4IPPool=["a"]))
        agent.stop()
        assert agent.process.stdout and agent.process.stdout.read() == ""


@pytest.mark.parametrize("operation", ["DELETE /ipam/ips", "POST /ipam/gc"])
def test_a_late_request_does_not_free_what_a_pod_was_given_after_it(
    operation: str, tmp_path: Path, pools: Path
) -> None:
    """The plugin gave up, and the pod was tried again, while the agent was stalled: it has both requests at once."""
    method, path = operation.split()
    late = {"network": "net", "validAttachments": []} if path == "/ipam/gc" else add_args("u1")
    with running_agent(tmp_path, pools) as agent:
        for _ in range(20):
            agent.process.send_signal(signal.SIGSTOP)
            with send(agent, method, path, late), send(agent, "POST", "/ipam/ip", add_args("u1")) as add:
                agent.process.send_signal(signal.SIGCONT)
                assert add.recv(65536).startswith(b"HTTP/1.1 200")
            assert [held["podUID"] for held in agent.allocations()] == ["u1"]


def send(agent: Agent, method: str, path: str, body: dict[str, Any]) -> socket.socket:
    """Send a request on a connection of its own and return that."""
    content = json.dumps(body).encode()
    head = f"{method} /v1{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10 + SLACK)
    connection.connect(str(agent.socket_path))
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


def test_the_socket_is_0600_and_the_state_folder_0700_whatever_the_umask(tmp_path: Path, pools: Path) -> None:
    umask = os.umask(0)
    try:
        with running_agent(tmp_path, pools, name="run/spidernet/agent.sock") as agent:
            assert stat.S_IMODE(agent.socket_path.stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
            databases = list((tmp_path / "state").glob("leases.db*"))
            assert {stat.S_IMODE(file.stat().st_mode) for file in databases} == {0o600}
    finally:
        os.umask(umask)


def test_a_second_agent_is_refused_while_the_first_lives(tmp_path: Path, pools: Path) -> None:
    with running_agent(tmp_path, pools) as agent:
        other_state = _refusal(agent.socket_path, pools, tmp_path / "other")
        assert other_state == f"Error: another agent holds {agent.socket_path}.lock"
        other_socket = _refusal(tmp_path / "other.sock", pools, tmp_path / "state")
        assert other_socket == f"Error: another agent holds {tmp_path}/state/lock"
        assert agent.add(add_args("u")).status == 200


def test_a_live_agent_of_another_kind_is_not_replaced(tmp_path: Path, pools: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as live:
        live.bind(str(path))
        live.listen()
        assert _refusal(path, pools, tmp_path / "state") == f"Error: another agent answers on {path}"
    assert path.is_socket()


def test_a_stale_socket_is_replaced(tmp_path: Path, pools: Path) -> None:
    with running_agent(tmp_path, pools) as agent:
        agent.process.kill()
        agent.process.wait()
        assert agent.socket_path.is_socket()
    with running_agent(tmp_path, pools) as agent:
        assert agent.ask("GET", "/ipam/healthy").status == 200


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path, pools: Path) -> None:
    (tmp_path / "agent.sock").write_text("precious")
    refusal = _refusal(tmp_path / "agent.sock", pools, tmp_path / "state")
    assert refusal == f"Error: {tmp_path}/agent.sock is not a socket: not replaced"
    assert (tmp_path / "agent.sock").read_text() == "precious"


def test_a_socket_path_that_is_too_long_and_a_broken_database_are_refused_in_one_line(
    tmp_path: Path, pools: Path
) -> None:
    long = tmp_path / ("x" * 100)
    assert _refusal(long, pools, tmp_path / "state") == f"Error: {long}: AF_UNIX path too long"
    (tmp_path / "state" / "leases.db").write_bytes(b"x" * 5000)
    refusal = _refusal(tmp_path / "agent.sock", pools, tmp_path / "state")
    assert refusal == f"Error: {tmp_path}/state/leases.db: file is not a database"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_within_two_seconds(tmp_path: Path, pools: Path, number: signal.Signals) -> None:
    with running_agent(tmp_path, pools) as agent, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as idle:
        idle.connect(str(agent.socket_path))
        idle.sendall(b"POST /v1/ipam/ip HTTP/1.1\r\nHost:\r\nContent-Length: 9\r\n\r\n")
        assert agent.ask("GET", "/ipam/healthy").status == 200  # it serves by now, and has that request
        agent.process.send_signal(number)
        assert agent.process.wait(2 + SLACK) == 0
        assert not agent.socket_path.exists()
        assert not list((tmp_path / "state").glob("*-wal"))
        assert idle.recv(65536).startswith(b"HTTP/1.1 503 ")
    assert "Traceback" not in (tmp_path / "state.log").read_text()


def test_a_socket_that_another_agent_put_in_its_place_is_left_alone(tmp_path: Path, pools: Path) -> None:
    with running_agent(tmp_path, pools) as agent, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        agent.socket_path.unlink()
        other.bind(str(agent.socket_path))
        assert agent.stop() == 0
        assert agent.socket_path.is_socket()


def test_a_full_disk_is_500_and_the_agent_goes_on_when_there_is_room_again(tmp_path: Path, pools: Path) -> None:
    with running_agent(tmp_path, pools) as agent:
        assert agent.add(add_args("before")).status == 200
        pid, unlimited = agent.process.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, ((tmp_path / "state" / "leases.db-wal").stat().st_size, -1))
        refused = agent.add(add_args("full"))
        assert refused.status == 500 and refused.body.startswith(b'"') and refused.body.endswith(b'"\n')
        assert agent.add(add_args("before")).status == 200
        assert [held["podUID"] for held in agent.allocations()] == ["before"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
        addresses = [agent.add(add_args(uid)).json()["ips"][0]["address"] for uid in ("before", "full", "after")]
        assert addresses == ["10.244.0.1/16", "10.244.0.2/16", "10.244.0.3/16"]


def test_pods_that_ask_at_once_get_different_addresses(tmp_path: Path, pools: Path) -> None:
    with running_agent(tmp_path, pools) as agent:
        answers: list[str] = []

        def ask(worker: int) -> None:
            for turn in range(10):
                args = add_args(f"{worker}-{turn}")
                answers.extend({agent.add(args).json()["ips"][0]["address"] for _ in range(2)})

        _in_parallel(ask)
        assert len(answers) == len(set(answers)) == 80


def _in_parallel(work: Callable[[int], None], workers: int = 8) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Load:
    """ADDs and DELs from several threads until the agent is gone; keeps what was answered."""

    def __init__(self) -> None:
        self.held: dict[str, list[str]] = {}  # pod UID -> addresses, as answered
        self.gone: set[str] = set()  # DEL was answered
        self.unsure: set[str] = set()  # DEL was sent
        self.sent = 0

    def run(self, agent: Agent, generation: int, worker: int) -> None:
        turn = 0
        try:
            while True:
                turn += 1
                uid = f"{generation}-{worker}-{turn}"
                self.sent += 1
                self.held[uid] = _addresses(agent.add(add_args(uid)).json())
                if turn % 4 == 0:
                    self.unsure.add(uid)
                    agent.delete(add_args(uid))
                    self.gone.add(uid)
        except (OSError, ValueError, IndexError):
            return  # the agent was killed: no answer, or half of one


def _addresses(response: dict[str, Any]) -> list[str]:
    return [ip["address"] for ip in response["ips"]]


def _check_nothing_lost_or_doubled(agent: Agent, load: Load) -> int:
    allocations = agent.allocations()
    present = {held["podUID"]: [held["ipv4"], held["ipv6"]] for held in allocations}
    assert len(present) == len(allocations)
    assert not load.gone & present.keys()
    assert max(Counter(address for held in present.values() for address in held).values()) == 1
    for uid in load.held.keys() - load.unsure:
        assert present[uid] == load.held[uid]
    return len(present)


@pytest.mark.slow
def test_killed_at_any_moment_it_forgets_no_answered_add_and_gives_no_address_twice(
    tmp_path: Path, pools: Path, show: Callable[[str], None]
) -> None:
    load, rounds, held = Load(), 8, 0
    for generation in range(rounds):
        with running_agent(tmp_path, pools) as agent:
            threading.Timer(random.uniform(0.1, 0.7), agent.process.kill).start()
            _in_parallel(lambda worker, agent=agent, turn=generation: load.run(agent, turn, worker))  # type: ignore[misc]
            assert agent.process.wait(30) == -signal.SIGKILL
        with running_agent(tmp_path, pools) as agent:
            held = _check_nothing_lost_or_doubled(agent, load)
    with running_agent(tmp_path, pools) as agent:
        for uid in random.sample(sorted(load.held.keys() - load.unsure), 20):
            assert _addresses(agent.add(add_args(uid, container="new")).json()) == load.held[uid]
    counts = f"{load.sent} ADDs sent, {len(load.held)} answered, {len(load.gone)} DELs answered, {held} held at the end"
    show(f"SIGKILL {rounds} times under load: {counts}; none lost, none given twice")
