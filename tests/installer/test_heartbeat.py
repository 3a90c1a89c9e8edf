"""What systemd is sent; test_watch_stalls.py has watch send it, and stop sending."""

import socket
import time
from pathlib import Path

import pytest

from cni.installer.heartbeat import Heartbeat
from tests.waiting import SLACK

MESSAGE = b"READY=1\nWATCHDOG=1"


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_go_to_a_socket_of_either_kind(tmp_path: Path, abstract: bool) -> None:
    name = f"@{tmp_path}/notify" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(SLACK)
        Heartbeat({"NOTIFY_SOCKET": name}).beat()
        assert manager.recv(100) == MESSAGE


def test_four_are_sent_in_the_time_that_the_unit_gives(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.setblocking(False)
        heartbeat = Heartbeat({"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "800000"})
        for _ in range(2):
            heartbeat.beat()
        assert manager.recv(100) == MESSAGE
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        time.sleep(0.2)
        heartbeat.beat()
        assert manager.recv(100) == MESSAGE


def test_one_that_was_not_taken_is_sent_at_the_next_call(tmp_path: Path) -> None:
    heartbeat = Heartbeat({"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "nonsense"})
    heartbeat.beat()  # nobody is there
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        heartbeat.beat()
        assert manager.recv(100) == MESSAGE


def test_a_manager_that_reads_nothing_holds_up_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        heartbeat = Heartbeat({"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "0"})
        for _ in range(10000):
            heartbeat.beat()


def test_outside_of_a_unit_nothing_is_sent() -> None:
    heartbeat = Heartbeat({})
    for _ in range(3):
        heartbeat.beat()
