"""What BIRD says over its socket. Its replies are as Debian's BIRD 1.6.8 gave them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from cni.doctor.collect import bird
from cni.installer.node.host_root import HostRoot
from tests.waiting import SLACK

PROTOCOLS = """\
2002-name     proto    table    state  since       info
1002-static1  Static   master   up     04:16:06    \n\
1006-  Preference:     200
   Input filter:   ACCEPT
 \n\
1002-Global_172_16_13_1 BGP      master   up     04:16:07    Established   \n\
1006-  Description:    Connection to BGP peer
   Preference:     100
   Input filter:   ACCEPT
   Output filter:  (unnamed)
   Routes:         1 imported, 2 exported, 1 preferred
   Route change stats:     received   rejected   filtered    ignored   accepted
     Import updates:              1          0          0          0          1
     Import withdraws:            0          0        ---          0          0
     Export updates:              4          1          1        ---          2
     Export withdraws:            0        ---        ---        ---          0
   BGP state:          Established
     Neighbor address: 172.16.13.1
     Neighbor AS:      23000
     Neighbor ID:      172.16.13.1
     Neighbor caps:    refresh enhanced-refresh restart-aware llgr-aware AS4
     Session:          external multihop AS4
     Source address:   172.16.13.11
     Hold timer:       227/240
     Keepalive timer:  53/80
 \n\
1002-Global_172_16_13_9 BGP      master   start  2026-11-25  Connect       Socket: No route to host
1006-  Description:    Connection to BGP peer
   BGP state:          Connect
     Neighbor address: 172.16.13.9
     Neighbor AS:      23000
     Last error:       Socket: No route to host
 \n\
0000 \n\
"""
ROUTES = """\
1007-172.25.166.128/26  blackhole [static1 04:16:06] * (200)
 10.244.100.0/32    dev cali0123456789a [kernel1 04:16:06] * (10)
 10.9.0.0/24        via 172.16.13.1 on eth0 [Global_172_16_13_1 04:16:07] * (100/0) [AS23000i]
                    via 172.16.13.9 on eth0 [Global_172_16_13_9 04:16:08] (100/0) [AS23000i]
0000 \n\
"""
DOWN = "8005 Protocol is down\n"


@contextmanager
def serving(path: Path, replies: dict[str, str], greeting: str = "0001 BIRD 1.6.8 ready.\n") -> Iterator[list[str]]:
    """Serve replies on a socket, to one client; yield the commands that came."""
    path.parent.mkdir(parents=True, exist_ok=True)
    commands: list[str] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(20)
            with connection, connection.makefile("rb") as lines:
                connection.sendall(greeting.encode())
                for line in lines:
                    commands.append(line.decode().strip())
                    connection.sendall(replies.get(commands[-1], "9001 syntax error\n").encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield commands
        thread.join()


def test_sessions_and_what_is_exported_over_them_are_read(tmp_path: Path) -> None:
    replies = {"show protocols all": PROTOCOLS, "show route export Global_172_16_13_1": ROUTES}
    with serving(tmp_path / "var/run/calico/bird.ctl", replies) as commands:
        found = bird.read(HostRoot(tmp_path), "bird.ctl")
    assert commands == ["show status", *replies]
    assert (found["socket"], found["version"]) == ("/var/run/calico/bird.ctl", "BIRD 1.6.8 ready.")
    up, down = found["protocols"]
    assert (up["name"], up["neighbor"]) == ("Global_172_16_13_1", "172.16.13.1")
    assert (up["state"], up["since"], up["last_error"]) == ("Established", "04:16:07", "")
    assert up["counters"]["import_updates"] == [1, 0, 0, 0, 1]
    assert up["counters"]["export_updates"] == [4, 1, 1, 0, 2]
    assert up["exported"] == [
        {"prefix": "172.25.166.128/26"},
        {"prefix": "10.244.100.0/32", "interface": "cali0123456789a"},
        {"prefix": "10.9.0.0/24", "interface": "eth0"},
    ]
    assert (down["neighbor"], down["state"], down["since"]) == ("172.16.13.9", "Connect", "2026-11-25")
    assert (down["last_error"], down["exported"]) == ("Socket: No route to host", [])


def test_the_second_place_is_looked_at_too(tmp_path: Path) -> None:
    with serving(tmp_path / "var/run/bird/bird6.ctl", {"show protocols all": "0000 \n"}):
        found = bird.read(HostRoot(tmp_path), "bird6.ctl")
    assert (found["socket"], found["protocols"]) == ("/var/run/bird/bird6.ctl", [])


def test_without_bird_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "var/run/calico").mkdir(parents=True)
    found = bird.read(HostRoot(tmp_path), "bird.ctl")
    assert found["socket"] == "/var/run/calico/bird.ctl"
    assert "calico-node does not run BIRD here" in found["fault"]


def test_where_its_folder_is_not_mounted_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is mounted here"):
        bird.read(HostRoot(tmp_path), "bird.ctl")


def test_a_socket_that_nobody_serves_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "var/run/calico/bird.ctl"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert "Connection refused" in bird.read(HostRoot(tmp_path), "bird.ctl")["fault"]


@pytest.mark.parametrize(
    ("since", "seconds"),
    [("12:00:00", 30.0), ("12:00", 30.0), ("12:00:40", 86390.0), ("2026-11-25", 129630.0), ("an hour", None)],
)
def test_how_long_ago_it_was_is_told_by_birds_own_clock(since: str, seconds: float | None) -> None:
    assert bird.seconds_since(since, datetime.fromisoformat("2026-11-26 12:00:30")) == seconds


@pytest.mark.parametrize("greeting", ["", "0001-BIRD 1.6.8 ready\n"])
def test_a_bird_that_hangs_is_not_waited_for(tmp_path: Path, greeting: str) -> None:
    started = time.monotonic()
    with serving(tmp_path / "var/run/calico/bird.ctl", {}, greeting):
        found = bird.read(HostRoot(tmp_path), "bird.ctl")
    assert found["fault"] == "BIRD has not answered within 3 s"
    assert time.monotonic() - started < 3 + SLACK


def test_a_session_that_ends_meanwhile_has_no_routes(tmp_path: Path) -> None:
    replies = {"show protocols all": PROTOCOLS, "show route export Global_172_16_13_1": DOWN}
    with serving(tmp_path / "var/run/calico/bird.ctl", replies):
        found = bird.read(HostRoot(tmp_path), "bird.ctl")
    assert found["protocols"][0]["exported"] == []
