"""What a line of the log counts as."""

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cni import errors
from cni.installer.call_counts import BUCKETS, CODES, CallCounts
from cni.plugin.operations import LIMITS
from cni.syntax import LOG_LEVELS

CALL = {"time": "2026-01-02T03:04:05.678Z", "level": "info", "command": "ADD", "code": 0, "ms": 3, "agent_ms": 1}


class Counted:
    """The metrics after some lines."""

    def __init__(self, *lines: bytes) -> None:
        self._registry = CollectorRegistry()
        counts = CallCounts()
        counts.register(self._registry)
        for line in lines:
            counts.add(line)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"spiderpool_ipam_{name}", labels)


def line(**changed: Any) -> bytes:
    return json.dumps({**CALL, **changed}).encode()


def test_calls_are_counted_by_command_and_code() -> None:
    counted = Counted(line(), line(), line(code=100), line(command="DEL", code=11))
    assert counted("calls_total", command="ADD", code="0") == 2
    assert counted("calls_total", command="ADD", code="100") == 1
    assert counted("calls_total", command="DEL", code="11") == 1
    assert counted("log_lines_skipped_total") == 0


def test_milliseconds_become_seconds_of_the_call_and_of_the_agent() -> None:
    counted = Counted(line(ms=7, agent_ms=4), line(ms=1500, agent_ms=1400))
    assert counted("call_duration_seconds_sum", command="ADD") == pytest.approx(1.507)
    assert counted("call_duration_seconds_bucket", command="ADD", le="0.01") == 1
    assert counted("call_duration_seconds_count", command="ADD") == 2
    assert counted("agent_duration_seconds_sum", command="ADD") == pytest.approx(1.404)
    assert counted("agent_duration_seconds_bucket", command="ADD", le="0.005") == 1


def test_what_an_alert_asks_for_is_there_before_the_first_call() -> None:
    """Prometheus sees no increase in a series that begins with 1."""
    counted = Counted()
    assert {counted("calls_total", command="ADD", code=str(code)) for code in (0, *CODES)} == {0}
    assert {counted("calls_total", command=command, code="0") for command in LIMITS} == {0}


def test_every_code_of_the_plugin_is_known() -> None:
    assert {errors.TRY_AGAIN_LATER, errors.BAD_AGENT_ANSWER, errors.INTERNAL} < set(CODES)


def test_a_log_cannot_make_series_at_will() -> None:
    counted = Counted(*[line(command=f"ADD{number}", code=number + 1000) for number in range(50)])
    assert counted("calls_total", command="other", code="other") == 50
    assert counted("calls_total", command="ADD0", code="1000") is None


def test_a_line_of_a_later_release_is_counted_as_well() -> None:
    assert Counted(line(attempts=3, level="notice"))("calls_total", command="ADD", code="0") == 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        line()[:-2],
        line()[:40] + line(),
        b"\0" * 100 + line(),
        b"\xff" + line(),
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"level":"info","ts":"2026-01-02T03:04:05Z","msg":"of the Go plugin"}',
        line(code=-1),
        line(ms=-1),
        line(ms="3"),
        line(ms=2.5),
        line(code=None),
        b'{"command":"ADD","code":0,"agent_ms":1,"ms":1' + b"0" * 5000 + b"}",
        b'{"command":"ADD","code":0,"agent_ms":1,"ms":NaN}',
        b'{"command":"\\ud800","code":0,"agent_ms":1,"ms":1}',
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_no_call_is_skipped_and_counted_as_that(text: bytes) -> None:
    counted = Counted(text, line())
    assert (counted("log_lines_skipped_total"), counted("calls_total", command="ADD", code="0")) == (1, 1)


def test_each_limit_of_the_plugin_is_a_bucket_so_that_calls_that_met_it_are_told_apart() -> None:
    limits = {float(seconds) for limits in LIMITS.values() for seconds in limits if 1 < seconds < 1000}
    assert limits < set(BUCKETS)
    assert LOG_LEVELS.index("error") < LOG_LEVELS.index("panic")
