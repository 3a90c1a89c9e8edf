"""The frozen plugin is told to end, by SIGTERM or SIGINT: it prints one error, and no address stays allocated."""

import fcntl
import json
import os
import re
import signal
import statistics
import struct
import termios
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.frozen_plugin import LARGE, OK, SMALL, FrozenPlugin, agent, found
from tests.waiting import wait_for

PIPE_SIZE = 65536
SHOWS_ITS_HANDLERS = "/proc shows its handlers of signals, not the program's"

both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@pytest.fixture
def plugin(tmp_path: Path) -> FrozenPlugin:
    return FrozenPlugin(tmp_path)


def wait_until_it_handles_signals(pid: int) -> None:
    """Wait until the plugin has installed its handlers. (The interpreter itself handles SIGINT, but not SIGTERM.)"""

    def handles() -> bool:
        (caught,) = re.findall(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    wait_for(handles, "the plugin's signal handlers")


def bytes_in(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


@both_signals
def test_while_the_agent_works_an_add_releases_and_prints_its_error(
    number: signal.Signals, plugin: FrozenPlugin
) -> None:
    with agent(plugin, lambda method: OK if method == "DELETE" else None) as heard:
        with plugin.start("ADD") as process:
            assert heard.first.wait(30)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        assert heard.requests == ["POST", "DELETE"]
    assert (process.returncode, stderr) == (1, "")
    assert json.loads(stdout)["code"] == 11
    assert "ADD was stopped by a signal" in json.loads(stdout)["msg"]
    assert not plugin.pending()


@both_signals
def test_before_it_has_read_its_configuration_it_asks_nothing(number: signal.Signals, plugin: FrozenPlugin) -> None:
    requirements.need_no_emulator(SHOWS_ITS_HANDLERS)
    reader, writer = os.pipe()
    with plugin.start("ADD", "/bin/bash", "-c", f'exec "$0" <&{reader}', pass_fds=[reader]) as process:
        wait_until_it_handles_signals(process.pid)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    os.close(reader)
    os.close(writer)
    assert (process.returncode, stderr, json.loads(stdout)["code"]) == (1, "", 11)


@pytest.mark.slow
def test_at_any_moment_it_prints_one_object_or_has_not_begun(plugin: FrozenPlugin, show: Callable[[str], None]) -> None:
    """pydantic-core swallows an exception that is raised while it works, or turns it into another one."""
    codes: Counter[int | None] = Counter()
    with agent(plugin, lambda method: OK if method == "DELETE" else found(SMALL)):
        undisturbed = []
        for _ in range(9):
            started = time.monotonic()
            assert plugin.call("ADD")[0] == 0
            undisturbed.append(time.monotonic() - started)
        span = 1.5 * statistics.median(undisturbed)
        for moment in range(300):
            with plugin.start("ADD") as process:
                time.sleep(span * moment / 300)
                process.send_signal(signal.SIGTERM)
                stdout, stderr = process.communicate(timeout=30)
            assert stderr == ""
            if process.returncode != -signal.SIGTERM:
                codes[json.loads(stdout).get("code", 0)] += 1
                assert process.returncode == ("code" in json.loads(stdout))
            else:
                codes[None] += 1
                assert stdout == ""
    show(f"ADD told to end at 300 moments: {dict(codes)} (0: it had finished, None: it had not begun)")
    assert set(codes) == {None, 0, 11}


@both_signals
def test_while_nobody_listens_an_add_prints_its_error_at_once(number: signal.Signals, plugin: FrozenPlugin) -> None:
    requirements.need_no_emulator(SHOWS_ITS_HANDLERS)
    with plugin.start("ADD") as process:
        wait_until_it_handles_signals(process.pid)
        time.sleep(0.3)  # of the three seconds for which it tries to connect
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert "stopped by a signal" in json.loads(stdout)["msg"]
    assert not plugin.pending()


@both_signals
def test_while_nobody_reads_its_result_an_add_releases(number: signal.Signals, plugin: FrozenPlugin) -> None:
    reader, writer = os.pipe()
    with agent(plugin, lambda method: OK if method == "DELETE" else found(LARGE)) as heard:
        with plugin.start("ADD", stdout=writer) as process:
            os.close(writer)
            wait_for(lambda: bytes_in(reader) == PIPE_SIZE, "a full pipe")
            process.send_signal(number)
            assert process.wait(30) == 1
        assert heard.requests == ["POST", "DELETE"]
    os.close(reader)
    assert plugin.logged()["code"] == 5


def test_told_twice_an_add_still_releases(plugin: FrozenPlugin) -> None:
    def answers(method: str) -> bytes | None:
        if method == "DELETE":
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            return OK
        return None

    with agent(plugin, answers) as heard:
        with plugin.start("ADD") as process:
            assert heard.first.wait(30)
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=30)
        assert heard.requests == ["POST", "DELETE"]
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert not plugin.pending()


def test_a_del_that_is_told_to_end_waits_for_the_lock_and_writes_its_release_down(plugin: FrozenPlugin) -> None:
    with (
        (plugin.state / "pending.lock").open("w") as lock,
        agent(plugin, lambda method: None) as heard,
        plugin.start("DEL") as process,
    ):
        assert heard.first.wait(30)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert process.poll() is None
        fcntl.lockf(lock, fcntl.LOCK_UN)
        stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert "stopped by a signal" in json.loads(stdout)["msg"]
    assert len(plugin.pending()) == 1


@both_signals
def test_a_del_writes_its_release_down(number: signal.Signals, plugin: FrozenPlugin) -> None:
    with agent(plugin, lambda method: None) as heard, plugin.start("DEL") as process:
        assert heard.first.wait(30)
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(stdout)["code"]) == (1, 11)
    assert len(plugin.pending()) == 1
