"""The metrics that watch serves of real calls, and that no log holds up watch."""

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests import requirements
from tests.installer.real_calls import Served, serving
from tests.installer.sample_node import Node
from tests.installer.watch_process import watching
from tests.waiting import SLACK, wait_for

OLD = b'{"time":"2026-01-02T03:04:05.678Z","level":"info","command":"ADD","code":0,"ms":1,"agent_ms":1}\n'
MEGABYTE = 2**20
CALLS = 100 if requirements.EMULATED else 1000  # an emulator takes a second for each


def logged(folder: Path, old: int) -> list[dict[str, object]]:
    """Return the calls in all files of the log, without the old ones."""
    lines = [line for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines(keepends=True)]
    assert lines.count(OLD) == old
    return [json.loads(line) for line in lines if line != OLD]


def durations(served: Served, name: str) -> Counter[str]:
    """Return the sums of a histogram, in milliseconds, by command."""
    found = served.metrics().items()
    return Counter({dict(labels)["command"]: round(1000 * value) for (key, labels), value in found if key == name})


def test_the_metrics_of_many_real_calls_are_what_was_answered_and_logged_across_a_rotation(node: Node) -> None:
    requirements.need_frozen("spiderpool")
    node.install()
    folder = node.root / "var/log/spidernet"
    folder.mkdir(parents=True)
    old = (MEGABYTE - 150 * CALLS) // len(OLD)
    (folder / "spiderpool.log").write_bytes(OLD * old)
    with serving(node) as served:
        served.follows()
        answered = served.make_calls(CALLS)
        assert sum(answered.values()) == CALLS
        assert {code for _, code in answered} >= {"0", "1", "4", "100"}
        assert len(list(folder.iterdir())) == 2, "the log was not set aside in the middle"
        wait_for(lambda: sum(served.calls().values()) >= CALLS, "all calls to be counted", 10)
        calls = logged(folder, old)
        assert served.calls() == answered == Counter((call["command"], str(call["code"])) for call in calls)
        for name, key in (("call_duration_seconds_sum", "ms"), ("agent_duration_seconds_sum", "agent_ms")):
            sums: Counter[str] = Counter()
            for call in calls:
                sums[str(call["command"])] += int(str(call[key]))
            assert durations(served, name) == sums
        assert served.metrics()["log_lines_skipped_total", frozenset()] == 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"log_level": "error"}, "partial"), ({"log_level": "fatal"}, "off"), ({"log_file_path": "/x/y"}, "elsewhere")],
)
def test_what_the_log_lacks_is_told(node: Node, settings: dict[str, str], reason: str) -> None:
    node.install(settings=settings)
    (node.root / "var/log/spidernet").mkdir(parents=True)
    (node.root / "var/log/spidernet/spiderpool.log").touch()
    with serving(node) as served:
        served.follows(reason)


def test_a_disk_that_hangs_with_the_log_holds_up_neither_repairs_nor_the_end(node: Node) -> None:
    node.install()
    hang = "import time; from cni.installer.followed_log import FollowedLog as L; L.look = lambda _: time.sleep(99)"
    (node.root / "var/log/spidernet").mkdir(parents=True)
    with watching(node, "--metrics-addr", "127.0.0.1:0", before=hang) as process:
        wait_for((node.root / "var/lib/spiderpool-ipam/lock").exists, "the first check")
        for _ in range(2):
            node.write()
            wait_for(lambda: node.ipam()["type"] == "spiderpool", "the repair", 2)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - started < 1 + SLACK


def test_a_long_log_keeps_watch_from_no_repair(node: Node) -> None:
    """It takes many looks to read it; meanwhile the checks go on."""
    node.install()
    with serving(node) as served:
        served.follows("missing")
        served.log.write_bytes(OLD * 200_000)
        node.write()
        assert wait_for(lambda: node.ipam()["type"] == "spiderpool", "the repair", 2) < 2 + SLACK
        counted = sum(served.calls().values())
        assert counted < 200_000
        wait_for(lambda: sum(served.calls().values()) == 200_000, "all lines to be counted", 30)
