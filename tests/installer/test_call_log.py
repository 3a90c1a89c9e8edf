"""Which log watch follows, what it lacks, and that nothing about it holds up watch."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cni import defaults
from cni.installer import call_log
from cni.installer.call_log import REASONS, CallLog, find_log
from cni.installer.reconciler import Reconciler
from cni.plugin import log
from tests import requirements
from tests.installer.sample_node import Node
from tests.waiting import wait_for

LINE = b'{"command":"ADD","code":0,"ms":3,"agent_ms":1}\n'


@pytest.fixture
def folder(node: Node) -> Path:
    """Return the folder of the log, as it is mounted."""
    folder = node.root / "var/log/spidernet"
    folder.mkdir(parents=True)
    return folder


class Followed:
    """The log of a node, as a thread follows it."""

    def __init__(self, node: Node) -> None:
        self.reconciler = Reconciler(node.folders, None, "1.0.0", lambda _: None)
        self.reconciler.check()
        self.said: list[str] = []
        self.log = CallLog(self.reconciler, self.said.append)
        self._registry = CollectorRegistry()
        self.log.counts.register(self._registry)

    def adds(self) -> float:
        return self._registry.get_sample_value("spiderpool_ipam_calls_total", {"command": "ADD", "code": "0"}) or 0

    def is_at(self, reason: str) -> None:
        wait_for(lambda: self.log.reason == reason, f"the reason {reason!r}")

    def has_counted(self, adds: int) -> None:
        wait_for(lambda: self.adds() >= adds, f"{adds} ADDs")
        assert self.adds() == adds


@pytest.fixture
def follow(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Followed]]:
    monkeypatch.setattr(call_log, "LOOK_EVERY", 0.02)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(**settings: Any) -> Followed:
        node.install(settings=settings)
        followed = Followed(node)
        threads.append(threading.Thread(target=followed.log.run, args=(stop,)))
        threads[-1].start()
        return followed

    yield start
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def append(path: Path, data: bytes = LINE) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_the_log_is_where_the_conflist_says(node: Node, follow: Callable[..., Followed]) -> None:
    (node.root / "srv").mkdir()
    followed = follow(log_file_path="/srv/calls.log")
    followed.is_at("missing")
    append(node.root / "srv/calls.log")
    followed.has_counted(1)
    followed.is_at("")
    assert followed.said == []


def test_a_log_of_before_is_not_counted_and_none_is_counted_twice(
    folder: Path, follow: Callable[..., Followed]
) -> None:
    path = folder / "spiderpool.log"
    append(path, LINE * 100)
    followed = follow()
    followed.is_at("")
    append(path)
    followed.has_counted(1)
    again = follow()  # as after a restart
    again.is_at("")
    append(path)
    again.has_counted(1)
    followed.has_counted(2)


def test_where_the_conflist_is_given_another_log_the_end_of_the_first_one_is_counted(
    node: Node, folder: Path, follow: Callable[..., Followed]
) -> None:
    first, second = folder / "spiderpool.log", folder / "second.log"
    first.touch()
    followed = follow()
    followed.is_at("")
    node.install(settings={"log_file_path": "/var/log/spidernet/second.log"})
    append(first)
    followed.reconciler.check()
    followed.is_at("missing")
    append(second)
    followed.has_counted(2)


def test_a_burst_is_counted_little_by_little_and_whole(folder: Path, follow: Callable[..., Followed]) -> None:
    path = folder / "spiderpool.log"
    path.touch()
    followed = follow()
    followed.is_at("")
    append(path, LINE * 300_000)  # 14 MB: several looks
    followed.has_counted(300_000)


def test_a_log_that_cannot_be_read_is_told_once_and_counted_when_it_can_be(
    folder: Path, follow: Callable[..., Followed]
) -> None:
    path = folder / "spiderpool.log"
    path.mkdir()
    followed = follow()
    followed.is_at("unreadable")
    path.rmdir()
    followed.is_at("missing")
    append(path)
    followed.has_counted(1)
    followed.is_at("")
    assert followed.said == [
        f"<4>the plugin's log cannot be read, so its calls are not counted: {path}: it is a folder, not a file"
    ]


@pytest.mark.parametrize("why", ["link", "program", "text", "link of another user"])
def test_a_file_that_the_plugin_does_not_write_to_is_told(
    why: str, folder: Path, follow: Callable[..., Followed], tmp_path: Path
) -> None:
    """Else no call would be counted, and nothing would say so. The plugin itself is asked as well."""
    path = folder / "spiderpool.log"
    path.touch()
    if why == "link":
        path.rename(folder / "calls.log")
        path.symlink_to("calls.log")
    elif why == "program":
        path.chmod(0o755)
    elif why == "text":
        path.write_text("Jan 1 00:00:00 a line of syslog\n")
    else:
        requirements.need_root()
        folder.rename(folder.with_name("moved"))
        folder.symlink_to("moved")
        os.chown(folder, 1, 1, follow_symlinks=False)
    assert "nothing is logged" in log.write({"log_file_path": str(path)}, "info", {"command": "ADD"})
    followed = follow()
    followed.is_at("refused")
    if why == "program":
        path.chmod(0o640)
        followed.is_at("")
        assert log.write({"log_file_path": str(path)}, "info", json.loads(LINE)) == ""
        followed.has_counted(1)


def test_before_the_first_check_it_looks_for_no_log(node: Node, folder: Path) -> None:
    node.install()
    reconciler = Reconciler(node.folders, None, "1.0.0", lambda _: None)
    log = CallLog(reconciler, lambda _: None)
    stop = threading.Event()
    stop.set()
    log.run(stop)
    assert log.reason == "not_looked"
    reconciler.check()
    log.run(stop)
    assert log.reason == "missing"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, ""),
        ({"log_level": "", "log_file_path": ""}, ""),
        ({"log_level": None, "log_file_path": None}, ""),
        ({"log_level": "INFO"}, ""),
        ({"log_level": 5, "log_file_path": ["/x"]}, ""),  # the plugin refuses the call, and logs that
        ({"log_level": "Warn"}, "partial"),
        ({"log_level": "error"}, "partial"),
        ({"log_level": "panic"}, "off"),
        ({"log_level": "FATAL"}, "off"),
        ({"log_file_path": "/dev/null"}, "off"),
        ({"log_file_path": "spiderpool.log"}, "elsewhere"),
        ({"log_file_path": "/srv/spiderpool.log"}, "elsewhere"),
        ({"log_file_path": "/srv/x/../../var/log/spidernet/x.log"}, ""),
    ],
)
def test_level_and_path_of_the_conflist_tell_what_the_log_lacks(
    node: Node, folder: Path, settings: dict[str, Any], reason: str
) -> None:
    node.install()
    path, found = find_log(node.folders, json.loads(json.dumps(settings)))
    assert found == reason
    assert (path is None) == (reason in ("off", "elsewhere"))


def test_the_usual_folder_may_not_be_mounted(node: Node) -> None:
    assert find_log(node.folders, {}) == (None, "not_mounted")
    assert find_log(node.folders, {"log_file_path": defaults.LOG_PATH}) == (None, "not_mounted")


def test_in_a_container_the_parent_of_what_is_mounted_is_not_the_nodes(node: Node, folder: Path) -> None:
    """A folder such as /host/var/log is there, because the runtime has made it to mount /host/var/log/spidernet."""
    requirements.need_root()
    node.install()
    state = node.folders.state
    script = f"""
from pathlib import Path
from cni.installer.call_log import find_log
from cni.installer.discovery import find_folders
from cni.installer.node.host_root import HostRoot
folders = find_folders(HostRoot(Path({str(node.root)!r})), "/opt/cni/bin", "/etc/cni/net.d", "calico")
for name in ("/var/log/spiderpool.log", "/var/log/spidernet/other.log", "/var/log/spidernet/spiderpool.log"):
    print(find_log(folders, {{"log_file_path": name}})[1] or "found")
"""
    mount = f'mount -t tmpfs none {folder} && mount -t tmpfs none {state} && exec {sys.executable} -c "$0"'
    command = [requirements.need_program("unshare"), "--mount", "sh", "-c", mount, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["elsewhere", "found", "found"], "")


def test_every_reason_has_words() -> None:
    assert {"off", "partial", "elsewhere", "not_mounted", "refused", "missing", "unreadable"} < set(REASONS)
