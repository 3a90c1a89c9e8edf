"""What Prometheus reads: the names and the values. test_watch.py has it served by watch itself."""

import subprocess
import threading
from collections import Counter

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cni.installer.agent_watch import AgentWatch
from cni.installer.call_log import REASONS, CallLog
from cni.installer.check_result import State
from cni.installer.metrics import Metrics
from cni.installer.node import agent_health
from cni.installer.reconciler import Reconciler
from tests import requirements
from tests.installer.sample_node import Node

OF_CALLS = ("spiderpool_ipam_call_duration", "spiderpool_ipam_agent_duration", "spiderpool_ipam_calls")
LINE = b'{"command":"DEL","code":11,"ms":30000,"agent_ms":2}'


def test_each_metric_has_the_name_and_the_unit_that_prometheus_asks_for(node: Node) -> None:
    reconciler = Reconciler(node.folders, None, "1.0.0", print)
    agent, calls = AgentWatch(reconciler, print), CallLog(reconciler, print)
    registry = Metrics(reconciler, agent, calls, "1.2.3").registry()
    calls.reason = "missing"
    reconciler.state = State("", Counter({("conflist", "replaced"): 2, ("plugin", "overwritten"): 1}), 7, 1700000000.5)
    agent.fault, agent.pending = "HTTP status 500", 3
    text = generate_latest(registry).decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.startswith(OF_CALLS)
    }
    wanted: dict[tuple[str, ...], float] = {
        ("spiderpool_ipam_in_sync",): 1,
        ("spiderpool_ipam_drift_total", "plugin", "overwritten"): 1,
        ("spiderpool_ipam_drift_total", "plugin", "removed"): 0,
        ("spiderpool_ipam_drift_total", "plugin", "replaced"): 0,
        ("spiderpool_ipam_drift_total", "conflist", "overwritten"): 0,
        ("spiderpool_ipam_drift_total", "conflist", "removed"): 0,
        ("spiderpool_ipam_drift_total", "conflist", "replaced"): 2,
        ("spiderpool_ipam_pods_on_other_ipam_total",): 7,
        ("spiderpool_ipam_last_check_timestamp_seconds",): 1700000000.5,
        ("spiderpool_ipam_agent_up",): 0,
        ("spiderpool_ipam_pending_releases",): 3,
        **{("spiderpool_ipam_log_unread", reason): reason == "missing" for reason in REASONS},
        ("spiderpool_ipam_log_lines_skipped_total",): 0,
        ("spiderpool_ipam_build_info", "1.2.3"): 1,
    }
    assert found == wanted


def test_promtool_has_nothing_to_say_against_the_metrics(node: Node) -> None:
    reconciler = Reconciler(node.folders, None, "1.0.0", print)
    calls = CallLog(reconciler, print)
    calls.counts.add(LINE)
    text = generate_latest(Metrics(reconciler, AgentWatch(reconciler, print), calls, "1.2.3").registry())
    promtool = requirements.need_tool("promtool")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_agent_that_was_not_asked_yet_is_not_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    reconciler = Reconciler(node.folders, None, "1.0.0", said.append)
    agent = AgentWatch(reconciler, said.append)
    registry = Metrics(reconciler, agent, CallLog(reconciler, said.append), "1.2.3").registry()
    assert registry.get_sample_value("spiderpool_ipam_agent_up") == 0
    monkeypatch.setattr(agent_health, "fault", lambda _: "")
    stop = threading.Event()
    stop.set()
    agent.run(stop)
    assert registry.get_sample_value("spiderpool_ipam_agent_up") == 1
    assert said == []
