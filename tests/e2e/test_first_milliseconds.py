"""Both frozen programs are told to end while they start: no traceback, and whatever is said is said properly."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.frozen_plugin import SMALL, found
from tests.e2e.scripted_agent import Request, response, scripted_agent
from tests.waiting import wait_for

MOMENTS = 150  # for each signal
FIRST = 0.006  # seconds

both_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


def answer(request: Request) -> bytes:
    return found(SMALL) if request.method == "POST" else response(200)


def start(command: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a call with nothing in between. The test's agent takes each release, so none is written down."""
    ipam = {"ipam_unix_socket_path": f"{folder}/agent.sock", "log_file_path": f"{folder}/log"}
    (folder / "stdin").write_text(json.dumps({"cniVersion": "1.1.0", "name": "first-milliseconds", "ipam": ipam}))
    environ = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"c{os.getpid()}", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0"}
    with (folder / "stdin").open("rb") as stdin:
        program = requirements.need_frozen("spiderpool")
        output = subprocess.PIPE
        return subprocess.Popen([program], env={**environ, "CNI_PATH": "/"}, stdin=stdin, stdout=output, stderr=output)


def signals_in(pid: int, kind: str) -> set[int]:
    """Return which of a process' signals are blocked (`SigBlk`), caught (`SigCgt`) or pending (`SigPnd`)."""
    (mask,) = re.findall(rf"^{kind}:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@both_signals
@pytest.mark.parametrize("command", ["VERSION", "ADD"])
def test_in_its_first_milliseconds_the_plugin_prints_one_object_or_has_not_begun(
    command: str, number: signal.Signals, tmp_path: Path, show: Callable[[str], None]
) -> None:
    outcomes: Counter[str] = Counter()
    dice = random.Random(int(number))
    with scripted_agent(tmp_path / "agent.sock", answer) as heard:
        for _ in range(MOMENTS):
            heard.clear()
            process = start(command, tmp_path)
            time.sleep(dice.uniform(0, FIRST))
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=60)
            assert stderr == b""
            if process.returncode == -number:
                assert (stdout, heard) == (b"", [])
                outcomes["had not begun"] += 1
                continue
            code = json.loads(stdout).get("code", 0)
            assert process.returncode == (code != 0)
            assert code in (0, 11)
            # What it had asked for it has given back.
            methods = [request.method for request in heard]
            assert methods in ([["POST"], []] if code == 0 else [["POST", "DELETE"], []]), (code, methods)
            outcomes["code 11" if code else "had finished"] += 1
    show(f"{command} and {number.name} at {MOMENTS} moments of its first 6 ms: {dict(outcomes)}")
    assert outcomes["had not begun"] < MOMENTS
    assert outcomes["code 11"] or command == "VERSION"  # which waits for nothing


@both_signals
def test_between_launcher_and_handlers_a_signal_waits_and_nothing_is_asked(
    number: signal.Signals, tmp_path: Path
) -> None:
    requirements.need_no_emulator("it loses signals that wait for a program")
    with scripted_agent(tmp_path / "agent.sock", answer) as heard:
        process = stopped_at_its_start(tmp_path)
        heard.clear()
        process.send_signal(number)
        assert number in signals_in(process.pid, "ShdPnd")
        process.send_signal(signal.SIGCONT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, json.loads(stdout)["code"], stderr, heard) == (1, 11, b"", [])
    assert f"{number.name}" in json.loads(stdout)["details"]


def stopped_at_its_start(folder: Path) -> "subprocess.Popen[bytes]":
    """Return an ADD that is stopped after the launcher has blocked the signals, and before there are handlers."""
    for number in range(300):
        process = start("ADD", folder)
        time.sleep(number % 30 / 10000)  # machines differ in when that is
        pid = process.pid
        os.kill(pid, signal.SIGSTOP)  # unlike send_signal, which would take one that has ended out of /proc
        wait_for(lambda pid=pid: state_of(pid) in "TZ", "the process to stop")  # type: ignore[misc]
        blocked, caught = signals_in(pid, "SigBlk"), signals_in(pid, "SigCgt")
        if {signal.SIGTERM, signal.SIGINT} <= blocked and signal.SIGTERM not in caught:
            return process
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
    raise AssertionError("no process was stopped in time")


@pytest.mark.parametrize("command", ["version", "status"])
def test_in_its_first_milliseconds_the_operators_program_shows_no_traceback(
    command: str, show: Callable[[str], None]
) -> None:
    dice = random.Random(command)
    tell_to_end(command, [dice.uniform(0, 0.08) for _ in range(15)], show)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["version", "status"])
def test_at_no_moment_the_operators_program_shows_a_traceback(command: str, show: Callable[[str], None]) -> None:
    started = time.monotonic()
    start_operators_program(command).communicate(timeout=60)
    span = 1.2 * (time.monotonic() - started)
    tell_to_end(command, [span * number / 300 for number in range(300)], show)


def start_operators_program(command: str) -> "subprocess.Popen[bytes]":
    program = requirements.need_frozen("spiderpool-ipam")
    return subprocess.Popen([program, command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def tell_to_end(command: str, moments: list[float], show: Callable[[str], None]) -> None:
    """Send SIGINT so many seconds after the start; fail with what is on stderr beside the program's own words."""
    outcomes: Counter[str] = Counter()
    foreign: list[str] = []
    for moment in moments:
        process = start_operators_program(command)
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode in (0, 1, -signal.SIGINT)
        if not all(line.startswith((b"Aborted!", b"problem: ")) for line in stderr.splitlines() if line):
            foreign.append(f"after {moment * 1000:.0f} ms:\n{stderr.decode()}")
        if process.returncode == -signal.SIGINT:
            outcomes["killed when all was printed" if stdout else "had not begun"] += 1
        else:
            outcomes["aborted" if b"Aborted!" in stderr else "had finished"] += 1
    show(
        f"spiderpool-ipam {command} and SIGINT at {len(moments)} moments of its first {max(moments) * 1000:.0f} ms: "
        f"{dict(outcomes)}, {len(foreign)} with a traceback"
    )
    assert not foreign, "\n".join(foreign)
