"""What watch tells Prometheus. Side effects: those of metrics_server.py."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from cni.installer import metrics_server
from cni.installer.agent_watch import AgentWatch
from cni.installer.call_log import REASONS, CallLog
from cni.installer.conflict import Object, Reason
from cni.installer.errors import InstallerError
from cni.installer.reconciler import Reconciler

_PREFIX = "spiderpool_ipam"


class Metrics:
    """Reads the state at each scrape."""

    def __init__(self, reconciler: Reconciler, agent: AgentWatch, calls: CallLog, version: str) -> None:
        self._reconciler = reconciler
        self._agent = agent
        self._calls = calls
        self._version = version

    def serve(self, host: str, port: int, report: Callable[[], tuple[HTTPStatus, bytes]] | None = None) -> None:
        """Serve them at http://host:port/metrics. InstallerError names an address that cannot be used."""
        try:
            metrics_server.serve(host, port, self.registry(), report)
        except OSError as error:
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise InstallerError(f"the metrics cannot be served on {address}: {error.strerror}") from None

    def registry(self) -> CollectorRegistry:
        """Return what Prometheus is told, with the calls."""
        registry = CollectorRegistry()
        registry.register(self)
        self._calls.counts.register(registry)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its present value, but for the calls."""
        yield from self._state()
        yield _gauge("agent_up", "1 while the spiderpool-agent answers that it is healthy", not self._agent.fault)
        yield _gauge("pending_releases", "Releases that wait for the spiderpool-agent", self._agent.pending)
        unread = GaugeMetricFamily(
            f"{_PREFIX}_log_unread",
            "1 for the reason why calls are not counted; all are 0 while the plugin's log has all calls, and is read",
            labels=["reason"],
        )
        for reason in REASONS:
            unread.add_metric([reason], reason == self._calls.reason)
        yield unread
        build = GaugeMetricFamily(f"{_PREFIX}_build_info", "Always 1; the label has the version", labels=["version"])
        build.add_metric([self._version], 1)
        yield build

    def _state(self) -> Iterator[Metric]:
        state = self._reconciler.state
        yield _gauge("in_sync", "1 while plugin and conflist are as `install` set them up", not state.fault)
        drift = CounterMetricFamily(
            f"{_PREFIX}_drift",
            "How often others changed plugin or conflist, by what they did",
            labels=["object", "reason"],
        )
        for what in get_args(Object):
            for reason in get_args(Reason):
                drift.add_metric([what, reason], state.drift[what, reason])
        yield drift
        yield CounterMetricFamily(
            f"{_PREFIX}_pods_on_other_ipam", "Pods that got their address from another IPAM during drift",
            value=state.pods_on_other_ipam,
        )  # fmt: skip
        yield _gauge("last_check_timestamp_seconds", "When plugin and conflist were last checked", state.last_check)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
