"""`spiderpool-ipam watch`: keep plugin and conflist as `install` set them up."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cni.cli.node_options import takes_folders
from cni.installer import readiness

if TYPE_CHECKING:
    from cni.installer.node.folders import Folders


class HostPort(click.ParamType[tuple[str, int]]):
    """An address to serve on."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            self.fail("want HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


@click.command()
@takes_folders
@click.option(
    "--readiness-file",
    type=click.Path(path_type=Path),
    help="A file that is there as long as plugin and conflist are as `install` set them up.",
)
@click.option("--metrics-addr", type=HostPort(), metavar="HOST:PORT", help="Serve metrics there, in Prometheus' form.")
def watch(
    find_folders: "Callable[[], Folders]", readiness_file: Path | None, metrics_addr: tuple[str, int] | None
) -> None:
    """Keep plugin and conflist as `install` set them up, until SIGTERM.

    calico-node writes its conflist at each start, and spiderpool-agent copies its own plugin over ours. What others
    have changed is repaired within a second, and reported on stderr. SIGTERM leaves the node as it is.
    """
    from cni.installer.agent_watch import AgentWatch
    from cni.installer.bundle import own
    from cni.installer.conflist import record as records
    from cni.installer.reconciler import Reconciler
    from cni.installer.watch import Watch

    folders = find_folders()
    if not records.read(folders):
        raise click.ClickException(f"nothing is installed in {folders.conf_name}: run install first")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reconciler = Reconciler(folders, own.tree(), own.version(), _log)
    agent = AgentWatch(reconciler, _log)
    if metrics_addr:
        from cni.installer.metrics import Metrics

        Metrics(reconciler, agent, own.version()).serve(*metrics_addr)

    def update_readiness(*, ended: bool = False) -> None:
        if readiness_file:
            readiness.update(readiness_file, ready=not (reconciler.state.fault or ended))

    update_readiness()
    threading.Thread(target=agent.run, args=(stop,), daemon=True).start()
    try:
        Watch(reconciler, _log).run(stop, update_readiness)
    finally:
        update_readiness(ended=True)


def _log(line: str) -> None:
    click.echo(line, err=True)
