"""What Prometheus reads: the names and the values. test_watch.py has it served by watch itself."""

import threading
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cni.installer.agent_watch import AgentWatch
from cni.installer.check_result import State
from cni.installer.metrics import Metrics
from cni.installer.node import agent_health
from cni.installer.reconciler import Reconciler
from tests.installer.sample_node import Node


def test_each_metric_has_the_name_and_the_unit_that_prometheus_asks_for(node: Node) -> None:
    reconciler = Reconciler(node.folders, None, "1.0.0", print)
    agent = AgentWatch(reconciler, print)
    registry = CollectorRegistry()
    registry.register(Metrics(reconciler, agent, "1.2.3"))
    reconciler.state = State("", Counter({("conflist", "replaced"): 2, ("plugin", "overwritten"): 1}), 7, 1700000000.5)
    agent.fault, agent.pending = "HTTP status 500", 3
    text = generate_latest(registry).decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
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
        ("spiderpool_ipam_build_info", "1.2.3"): 1,
    }


def test_an_agent_that_was_not_asked_yet_is_not_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    reconciler = Reconciler(node.folders, None, "1.0.0", said.append)
    agent = AgentWatch(reconciler, said.append)
    registry = CollectorRegistry()
    registry.register(Metrics(reconciler, agent, "1.2.3"))
    assert registry.get_sample_value("spiderpool_ipam_agent_up") == 0
    monkeypatch.setattr(agent_health, "fault", lambda _: "")
    stop = threading.Event()
    stop.set()
    agent.run(stop)
    assert registry.get_sample_value("spiderpool_ipam_agent_up") == 1
    assert said == []
