"""Measures what the plugin promises in seconds, on calls that have to wait or fail. Side effect: those calls."""

import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e import test_hostile_input as hostile_input
from tests.e2e.frozen_plugin import FrozenPlugin, agent
from tests.e2e.test_signals import wait_until_it_handles_signals

RUNS = 5


def measure(parent: Path) -> list[tuple[str, float, float]]:
    """Return title, limit and measured value of each promise; tests allow them more, because a machine may be slow."""
    folder = parent / "promises"
    folder.mkdir()
    plugin = FrozenPlugin(folder)
    rows = [
        ("hostile input, the slowest, s", hostile_input.WITHIN, max(map(_hostile(folder), hostile_input.CASES))),
        ("ADD while nobody listens, s", 3.5, _seconds(lambda: plugin.call("ADD"))),
        ("ADD after SIGTERM while nobody listens, s", 1.0, _seconds_after_sigterm(plugin)),
        # After the ADDs, which would try to send the release that a DEL leaves.
        ("DEL while nobody listens, s", 2.5, _seconds(lambda: plugin.call("DEL"))),
    ]
    with agent(plugin, lambda _: None):
        return [*rows, ("DEL while the agent hangs, s", 30.5, _seconds(lambda: plugin.call("DEL")))]


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _seconds_after_sigterm(plugin: FrozenPlugin) -> float:
    with plugin.start("ADD") as process:
        wait_until_it_handles_signals(process.pid)
        process.send_signal(signal.SIGTERM)
        return _seconds(process.communicate)


def _hostile(folder: Path) -> Callable[[str], float]:
    def median(name: str) -> float:
        stdin, environ, _ = hostile_input.CASES[name]
        return statistics.median(hostile_input.call(stdin, environ, folder)[2] for _ in range(RUNS))

    return median
