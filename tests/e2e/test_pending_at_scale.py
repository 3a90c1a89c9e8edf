"""Thousands of pending releases, and replays of them that go on, cost the frozen plugin's other calls nothing."""

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import requirements
from tests.bench.calls import CALLGRIND, counted_instructions
from tests.e2e.caller import Caller
from tests.e2e.frozen_plugin import SMALL, FrozenPlugin, found
from tests.e2e.kept_namespace import kept_namespace
from tests.e2e.scripted_agent import Request, response, scripted_agent
from tests.plugin import pending_releases
from tests.plugin.pending_releases import release
from tests.waiting import wait_for

MANY = 10_000
TOLERANCE = 0.02
ROUNDS = 5
AT_ONCE = 8
DELETE_TAKES = 0.3  # seconds

EMBEDDED = response(200, b'{"allocations":[]}')


@pytest.fixture
def plugin(tmp_path: Path) -> FrozenPlugin:
    return FrozenPlugin(tmp_path)


def write_many(plugin: FrozenPlugin, socket: Path) -> None:
    """Write what DELs of many other pods have left, without syncing each file."""
    folder = plugin.state / "pending"
    folder.mkdir(mode=0o700)
    for number in range(MANY):
        of = release(f"other-{number}")
        record = {"time": int(time.time()), "socketPath": str(socket), "release": of}
        Path(pending_releases.path_of(of, folder)).write_text(json.dumps(record) + "\n")


def instructions_of_a_del(plugin: FrozenPlugin, agents_status: int) -> int:
    """Count what one DEL executes whose release the agent takes (200), or which is written down (500)."""
    valgrind = requirements.need_program("valgrind")
    folder = plugin.folder / "callgrind"
    folder.mkdir()
    answer = response(agents_status, b"" if agents_status == 200 else b'"oops"')
    with scripted_agent(plugin.socket, lambda request: answer) as heard:
        assert plugin.call("DEL", valgrind, *CALLGRIND[1:], f"--callgrind-out-file={folder}/%p") == (0, {})
    plugin.socket.unlink()
    assert [request.method for request in heard] == ["DELETE"], "it asked for more than its own release"
    return counted_instructions(folder)


@pytest.mark.slow
@pytest.mark.parametrize("agents_status", [200, 500], ids=["is taken", "is written down"])
def test_a_del_costs_the_same_whatever_is_pending_of_other_pods(
    agents_status: int, tmp_path: Path, show: Callable[[str], None]
) -> None:
    counts: dict[str, int] = {}
    for name in ("nothing", "another socket's", "its own socket's"):
        # Paths of equal length: what is longer takes more instructions.
        folder = tmp_path / str(len(counts))
        folder.mkdir()
        plugin = FrozenPlugin(folder)
        if name != "nothing":
            write_many(plugin, plugin.socket if name.startswith("its own") else folder / "other.sock")
        counts[name] = instructions_of_a_del(plugin, agents_status)
        files = len(list((plugin.state / "pending").glob("*.release")))
        assert files == (name != "nothing") * MANY + (agents_status == 500)
    what = "taken" if agents_status == 200 else "written down"
    text = ", ".join(f"{count:,} with {name}" for name, count in counts.items())
    show(f"instructions of a DEL that is {what}, {MANY:,} pending: {text}")
    assert max(counts.values()) <= (1 + TOLERANCE) * min(counts.values())


@contextmanager
def slow_replay(node: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Have another process send releases of other pods, each of which takes its agent a while."""
    other, folder = node / "other.sock", node / "plugin-state/pending"
    for number in range(100):
        pending_releases.write(folder, other, f"other-{number}")

    def answers(request: Request) -> bytes:
        if request.method == "GET":
            return EMBEDDED
        time.sleep(DELETE_TAKES)
        return response(200)

    replay = f"from cni.plugin import replay; replay.replay({str(folder)!r})"
    command = [sys.executable, "-c", replay]
    with (
        scripted_agent(other, answers) as heard,
        subprocess.Popen(command, cwd=requirements.ROOT) as process,
    ):
        wait_for(lambda: len(heard) > 1, "the replay to begin")
        yield process
        process.terminate()


def seconds_of_dels(caller: Caller, round_: int) -> list[float]:
    """Run some DELs at once, of a pod of its own each; return how long each of them took."""

    def timed(number: int) -> float:
        started = time.monotonic()
        assert caller.call("DEL", f"own-{round_}-{number}") == {}
        return time.monotonic() - started

    with ThreadPoolExecutor(AT_ONCE) as executor:
        return list(executor.map(timed, range(AT_ONCE)))


@pytest.mark.parametrize("answer", [response(200), response(500, b'"oops"')], ids=["are taken", "are written down"])
def test_dels_do_not_wait_for_a_replay_of_other_pods_releases(
    answer: bytes, tmp_path: Path, show: Callable[[str], None]
) -> None:
    program = requirements.need_frozen("spiderpool")
    nodes = {name: tmp_path / name for name in ("nothing", "much")}
    took: dict[str, list[float]] = {name: [] for name in nodes}
    with ExitStack() as stack:
        callers = {}
        for name, node in nodes.items():
            node.mkdir()
            callers[name] = Caller([*stack.enter_context(kept_namespace(node)), program], node)
            stack.enter_context(scripted_agent(callers[name].socket, lambda request: answer))
        replay = stack.enter_context(slow_replay(nodes["much"]))
        # A machine that does other things meanwhile needs more rounds to tell.
        for round_ in range(4 * ROUNDS):
            for name in sorted(callers, reverse=round_ % 2 == 0):
                took[name] += seconds_of_dels(callers[name], round_)
            medians = {name: statistics.median(seconds) for name, seconds in took.items()}
            is_as_fast = medians["much"] <= 1.5 * medians["nothing"] + 0.010
            if round_ + 1 >= ROUNDS and is_as_fast:
                break
        assert replay.poll() is None, "the replay ended before the last DEL"
    calls = f"{len(took['much'])} DELs, answered {answer[9:12].decode()}, {AT_ONCE} at a time"
    for name, seconds in took.items():
        show(f"{calls}, {name} is replayed: median {medians[name] * 1000:.0f} ms, longest {max(seconds) * 1000:.0f} ms")
    assert is_as_fast


@pytest.mark.parametrize("command", ["DEL", "ADD"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_told_to_end_while_an_earlier_release_of_the_pod_is_sent_a_call_that_was_done_succeeds(
    command: str, number: signal.Signals, plugin: FrozenPlugin
) -> None:
    assert plugin.call("DEL", container="earlier") == (0, {})  # nobody listens: it is written down
    pending = plugin.pending()
    assert len(pending) == 1

    def answers(request: Request) -> bytes | None:
        if request.method == "GET":
            return EMBEDDED
        if request.method == "POST":
            return found(SMALL)
        return None if json.loads(request.body)["containerID"] == "earlier" else response(200)

    with scripted_agent(plugin.socket, answers) as heard:
        with plugin.start(command, container="later") as process:
            wait_for(lambda: len(heard) == 3, "the earlier release to be sent")
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=60)
        assert [request.method for request in heard] == ["POST" if command == "ADD" else "DELETE", "GET", "DELETE"]
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)["ips"] if command == "ADD" else not stdout
    logged = plugin.logged()
    assert (logged["code"], logged["level"], logged["outcome"]) == (0, "warn", "ok")
    assert f"stay pending: KeyboardInterrupt: {number.name}" in logged["warning"]
    assert plugin.pending() == pending
