"""The frozen plugin's stdout is gone, its agent away, its disk full, or it is killed: what was promised still holds."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.e2e.frozen_agent import Agent
from tests.e2e.frozen_plugin import FAILURE, OK, SMALL, FrozenPlugin, agent, found
from tests.waiting import SLACK


@pytest.fixture
def plugin(tmp_path: Path) -> FrozenPlugin:
    return FrozenPlugin(tmp_path)


@pytest.mark.parametrize("stdout", ["closed", "full", "nobody reads"])
def test_an_add_whose_result_cannot_be_printed_is_released(stdout: str, plugin: FrozenPlugin) -> None:
    before: list[str] = []
    options: dict[str, Any] = {}
    ends = os.pipe()
    if stdout == "closed":
        before = ["/bin/sh", "-c", 'exec "$0" >&-']
    elif stdout == "full":
        options["stdout"] = os.open("/dev/full", os.O_WRONLY)
    else:
        options["stdout"] = ends[1]
        os.close(ends[0])
    with agent(plugin, lambda method: OK if method == "DELETE" else found(SMALL)) as heard:
        with plugin.start("ADD", *before, **options) as process:
            process.communicate(timeout=30)
        assert heard.requests == ["POST", "DELETE"]
    assert process.returncode == 1
    assert plugin.logged()["code"] == 5
    for descriptor in {*options.values(), *(ends if stdout != "nobody reads" else ())}:
        os.close(descriptor)


def test_a_del_waits_two_seconds_for_an_agent_that_is_away(plugin: FrozenPlugin, show: Callable[[str], None]) -> None:
    started = time.monotonic()
    assert plugin.call("DEL") == (0, {})
    took = time.monotonic() - started
    show(f"DEL with nobody listening: {took:.1f} s")
    assert 2 <= took < 2 + SLACK
    assert len(plugin.pending()) == 1


@pytest.mark.slow
def test_a_del_waits_thirty_seconds_for_an_agent_that_hangs(plugin: FrozenPlugin, show: Callable[[str], None]) -> None:
    with agent(plugin, lambda method: None):
        started = time.monotonic()
        assert plugin.call("DEL") == (0, {})
        took = time.monotonic() - started
    show(f"DEL with an agent that hangs: {took:.1f} s")
    assert 30 <= took < 30 + SLACK
    assert len(plugin.pending()) == 1


def test_an_add_waits_three_seconds_for_an_agent_that_restarts(plugin: FrozenPlugin) -> None:
    started = time.monotonic()
    status, printed = plugin.call("ADD")
    assert 3 <= time.monotonic() - started < 3 + SLACK
    assert (status, printed["code"]) == (1, 11)
    assert re.search(r"POST /v1/ipam/ip, tried for [\d.]+ s", printed["msg"])


@pytest.mark.parametrize("obstacle", ["a full disk", "a read-only one"])
def test_a_del_that_cannot_be_written_down_fails_and_is_no_success_to_containerd(
    obstacle: str, plugin: FrozenPlugin
) -> None:
    mount = "mount -t tmpfs -o size=4k,nr_inodes=10 none /var/lib/spiderpool-ipam"
    if obstacle == "a full disk":
        mount += " && mkdir /var/lib/spiderpool-ipam/pending && ! head -c 8000 /dev/zero >/var/lib/spiderpool-ipam/x"
    else:
        mount = "mount -o remount,ro,bind /var/lib/spiderpool-ipam"
    status, printed = plugin.call("DEL", "/bin/sh", "-c", f'{{ {mount}; }} 2>/dev/null && exec "$0"')
    assert (status, printed["code"]) == (1, 11)
    words = (printed["msg"] + printed["details"]).lower()
    assert "cannot be written down: the disk is " in words
    assert "not found" not in words
    assert "no such file" not in words


def trace_of(plugin: FrozenPlugin, *options: str) -> list[str]:
    strace = requirements.need_program("strace")
    output = plugin.folder / "trace"
    status, printed = plugin.call("DEL", strace, "-f", "-y", "-o", output, *options)
    assert (status, printed) == (0, {}), printed
    return output.read_text().splitlines()


def place(lines: list[str], pattern: str) -> int:
    """Return the number of the only line that matches."""
    (found,) = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    return found


def test_a_pending_release_and_its_folder_are_on_disk_before_a_del_succeeds(plugin: FrozenPlugin) -> None:
    with agent(plugin, lambda method: FAILURE):
        lines = trace_of(plugin, "-e", "trace=write,fsync,fdatasync,rename,mkdir,exit_group")
    folder, name = "/var/lib/spiderpool-ipam/pending", r"net~u1~eth0\.release"
    order = [
        place(lines, rf'mkdir\("{folder}", 0700\) += 0'),
        place(lines, r"fsync\(\d+</var/lib/spiderpool-ipam>\) += 0"),
        place(lines, rf'write\(\d+<{folder}/{name}\.new>, .*\) = \d+'),
        place(lines, rf"fsync\(\d+<{folder}/{name}\.new>\) += 0"),
        place(lines, rf'rename\("{folder}/{name}\.new", "{folder}/{name}"\) += 0'),
        place(lines, rf"fsync\(\d+<{folder}>\) += 0"),
        place(lines, r"exit_group\(0\)"),
    ]  # fmt: skip
    assert order == sorted(order)


def test_killed_at_any_call_a_del_leaves_a_whole_record_or_none_and_had_not_succeeded(
    plugin: FrozenPlugin, show: Callable[[str], None]
) -> None:
    strace = requirements.need_program("strace")
    whole = none = 0
    # `when` counts from the start of the process. Calls before the last ten belong to the start of the interpreter.
    names = ("openat", "socket", "connect", "recvfrom", "mkdir", "fcntl", "write", "fsync", "rename", "close")
    with agent(plugin, lambda method: FAILURE):
        for name in names:
            shutil.rmtree(plugin.state / "pending", ignore_errors=True)
            total = len([line for line in trace_of(plugin, "-e", f"trace={name}") if f" {name}(" in line])
            for number in range(max(1, total - 9), total + 1):
                shutil.rmtree(plugin.state / "pending", ignore_errors=True)
                injected = f"inject={name}:signal=SIGKILL:when={number}"
                with plugin.start("DEL", strace, "-f", "-o", "/dev/null", "-e", injected) as process:
                    process.communicate(timeout=60)
                assert process.returncode == -signal.SIGKILL, (name, number)
                for record in plugin.pending():
                    assert json.loads(record)["release"]["containerID"] == "c1"
                whole, none = whole + len(plugin.pending()), none + (not plugin.pending())
            # What the killed call has left does not hinder the next one.
            assert plugin.call("DEL") == (0, {})
            assert len(plugin.pending()) == 1
    show(f"DEL killed at {whole + none} calls: {whole} times the whole record was there, {none} times none")
    assert whole
    assert none


def test_what_was_pending_of_a_pod_is_released_by_its_next_del(plugin: FrozenPlugin, tmp_path: Path) -> None:
    embedded = Agent(tmp_path)
    try:
        for container in ("c1", "c2"):
            assert plugin.call("ADD", container=container)[0] == 0
        moved = plugin.socket.rename(tmp_path / "moved")
        assert plugin.call("DEL", container="c1") == (0, {})
        moved.rename(plugin.socket)
        assert len(plugin.pending()) == 1
        assert plugin.call("DEL", container="c2") == (0, {})
        assert (plugin.pending(), embedded.held()) == ([], [])
    finally:
        embedded.stop()
