"""`spiderpool-ipam watch`: keep what install has done. Side effects: those of installer/watch.py, and its reports."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import click

from cni.cli.node import takes_folders
from cni.installer.bundle import own as own_bundle
from cni.installer.conflist import record as records
from cni.installer.node import agent_health
from cni.installer.node import pending as releases
from cni.installer.node.folders import Folders
from cni.installer.watch import State, Watch

AGENT_EVERY = 10.0  # seconds between two looks at the agent


@click.command()
@takes_folders
@click.option(
    "--readiness-file",
    type=click.Path(path_type=Path),
    help="A file that is there as long as plugin and conflist are as they were asked for.",
)
@click.option("--metrics-addr", metavar="HOST:PORT", help="Serve metrics there, in Prometheus' form.")
def watch(find: Callable[[], Folders], readiness_file: Path | None, metrics_addr: str | None) -> None:
    """Keep plugin and conflist as install was asked to have them, until SIGTERM.

    calico-node writes its conflist at each start, and spiderpool-agent copies its own plugin over ours. What was
    undone is done again within a second, and said on stderr. SIGTERM leaves the node as it is.
    """
    folders = find()
    if records.read(folders.conf) is None:
        raise click.ClickException(f"nothing is installed in {folders.conf_name}: run install first")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watching = Watch(folders, own_bundle.tree(), own_bundle.version(), _say)
    agent = _Agent(watching)
    reporter = _Reporter(watching, agent, readiness_file, metrics_addr)
    threading.Thread(target=agent.run, args=(stop,), daemon=True).start()
    try:
        watching.run(stop, reporter.tick)
    finally:
        reporter.withdraw()


def _say(line: str) -> None:
    click.echo(line, err=True)


class _Agent:
    """The agent's side, in a thread of its own: an agent that hangs must hold up neither the node nor SIGTERM."""

    def __init__(self, watching: Watch) -> None:
        self.fault = ""
        self.pending = 0
        self._watching = watching

    def run(self, stop: threading.Event) -> None:
        """Ask for its health, and send it what is pending, until `stop` is set."""
        while True:
            try:
                self._ask()
                self._replay()
            except Exception as error:
                # Whatever it is, the next round may pass; a thread that ends would leave all that is pending.
                self.fault = f"cannot be looked after: {type(error).__name__}: {error}"
                _say(f"the spiderpool-agent {self.fault}")
            if stop.wait(AGENT_EVERY):
                return

    def _ask(self) -> None:
        socket = self._watching.agent_socket
        fault = agent_health.fault(socket)
        if fault != self.fault:
            _say(f"the spiderpool-agent on {self._watching.folders.on_node(socket)}: {fault or 'healthy again'}")
        self.fault = fault

    def _replay(self) -> None:
        outcome = releases.replay(self._watching.folders, _say)
        if outcome.released:
            _say(f"sent {outcome.released} pending releases to the spiderpool-agent")
        self.pending = releases.count(self._watching.folders)


class _Reporter:
    """Tells the outside how it stands: the readiness file, the metrics."""

    def __init__(self, watching: Watch, agent: _Agent, readiness_file: Path | None, metrics_addr: str | None) -> None:
        self._watching = watching
        self._agent = agent
        self._readiness_file = readiness_file
        self._metrics = _Metrics(metrics_addr) if metrics_addr else None
        self.withdraw()

    def tick(self) -> None:
        fault = self._watching.state.fault
        if fault:
            self.withdraw()
        elif self._readiness_file:
            self._readiness_file.touch()
        if self._metrics:
            self._metrics.publish(self._watching.state, self._agent)

    def withdraw(self) -> None:
        if self._readiness_file:
            self._readiness_file.unlink(missing_ok=True)


class _Metrics:
    """What Prometheus reads."""

    def __init__(self, address: str) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise click.BadParameter("want HOST:PORT", param_hint="--metrics-addr")
        registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"spiderpool_ipam_{name}", text, registry=registry)

        self._held = gauge("held", "1 while plugin and conflist are as they were asked for")
        self._applied = gauge("last_apply_timestamp_seconds", "When they were last mended; 0: never")
        self._healthy = gauge("agent_healthy", "1 while the spiderpool-agent answers")
        self._pending = gauge("pending_releases", "Releases that wait for the spiderpool-agent")
        self._reverts = Counter("spiderpool_ipam_reverts", "How often others undid them", registry=registry)
        self._astray = Counter(
            "spiderpool_ipam_pods_astray", "Pods that got another IPAM's address meanwhile", registry=registry
        )
        self._published = State()
        start_http_server(int(port), host.strip("[]"), registry)

    def publish(self, state: State, agent: _Agent) -> None:
        self._held.set(not state.fault)
        self._applied.set(state.applied)
        self._healthy.set(not agent.fault)
        self._pending.set(agent.pending)
        self._reverts.inc(state.reverts - self._published.reverts)
        self._astray.inc(state.astray - self._published.astray)
        self._published = state
