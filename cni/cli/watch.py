"""`spiderpool-ipam watch`: keep plugin and conflist as `install` set them up."""

import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cni.cli.node_options import FileToMake, failing_in_one_line, takes_folders
from cni.installer import readiness

if TYPE_CHECKING:
    from http import HTTPStatus

    from cni.installer.log_queue import LogQueue
    from cni.installer.node.folders import Folders
    from cni.installer.reconciler import Reconciler

_LAST_LINES = 0.3  # seconds that a reader of stderr has for the last lines


class HostPort(click.ParamType[tuple[str, int]]):
    """An address to serve on."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = str(value).rpartition(":")
        host = host.strip("[]")
        if not host or not _is_host(host) or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
            self.fail("want HOST:PORT: a name or an address, and a number up to 65535", param, ctx)
        return host, int(port)


def _is_host(text: str) -> bool:
    """Whether it can be looked up: each part of a name has 1 to 63 characters."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


@click.command()
@takes_folders
@click.option(
    "--readiness-file",
    type=FileToMake(),
    help="A file that is there as long as plugin and conflist are as `install` set them up; else FILE.fault says why.",
)
@click.option("--metrics-addr", type=HostPort(), metavar="HOST:PORT", help="Serve metrics there, in Prometheus' form.")
@click.option("--report", is_flag=True, help="Serve there what doctor finds on this node, too, at /report.")
@click.option("--report-pods", is_flag=True, help="Let that report name pods, and addresses.")
@click.option(
    "--log-format", type=click.Choice(["auto", "text", "logfmt", "json"]), default="auto", show_default=True,
    help="What stderr gets. auto: the journal gets priorities, a terminal text, and everything else logfmt.",
)  # fmt: skip
def watch(
    find_folders: "Callable[[], Folders]",
    readiness_file: Path | None,
    metrics_addr: tuple[str, int] | None,
    report: bool,
    report_pods: bool,
    log_format: Literal["auto", "text", "logfmt", "json"],
) -> None:
    """Keep plugin and conflist as `install` set them up, until SIGTERM.

    calico-node writes its conflist at each start, and spiderpool-agent copies its own plugin over ours. What others
    have changed is repaired within a second, and reported on stderr. SIGTERM leaves the node as it is.
    """
    if (report and not metrics_addr) or (report_pods and not report):
        raise click.UsageError("--report needs --metrics-addr, the address to serve on; --report-pods needs --report")
    from cni.installer import log_line
    from cni.installer.log_queue import LogQueue
    from cni.installer.stop_signals import setting

    descriptor = sys.stderr.fileno() if sys.stderr else -1
    log = LogQueue(descriptor, log_line.choose(log_format, descriptor, os.environ))
    stop = threading.Event()
    try:
        with failing_in_one_line():
            folders = _installed(find_folders)
            with setting(stop, give_up=lambda: _give_up(log)):
                answer = _report(folders, with_pods=report_pods) if report else None
                _keep(folders, readiness_file, metrics_addr, answer, stop, log)
    except click.ClickException as error:  # it is told in the form of all other lines
        log.write(log_line.ERROR + error.format_message())
        raise SystemExit(1) from None
    finally:
        log.close(_LAST_LINES)


def _installed(find_folders: "Callable[[], Folders]") -> "Folders":
    from cni.installer.conflist import record as records

    folders = find_folders()
    if not records.read(folders):
        raise click.ClickException(f"nothing is installed in {folders.conf_name}: run install first")
    return folders


def _keep(
    folders: "Folders",
    readiness_file: Path | None,
    metrics_addr: tuple[str, int] | None,
    report: "Callable[[], tuple[HTTPStatus, bytes]] | None",
    stop: threading.Event,
    log: "LogQueue",
) -> None:
    from cni.installer.agent_watch import AgentWatch
    from cni.installer.bundle import own
    from cni.installer.bundle_watch import BundleWatch
    from cni.installer.reconciler import Reconciler
    from cni.installer.watch import Watch

    reconciler = Reconciler(folders, own.tree(), own.version(), log.write)
    agent = AgentWatch(reconciler, log.write)
    looks = [agent.run, BundleWatch(reconciler, log.write).run]
    if metrics_addr:
        from cni.installer.call_log import CallLog
        from cni.installer.metrics import Metrics

        calls = CallLog(reconciler, log.write)
        Metrics(reconciler, agent, calls, own.version()).serve(*metrics_addr, report)
        looks.append(calls.run)
    if readiness_file:
        readiness.update(readiness_file, reconciler.state.fault)
    for look in looks:
        threading.Thread(target=look, args=(stop,), daemon=True).start()
    try:
        # A folder that was removed and made anew is read-only for a service that systemd lets write only in some.
        main = Watch(reconciler, log.write, is_restarted="NOTIFY_SOCKET" in os.environ)
        main.run(stop, _signs_of_life(reconciler, readiness_file, log))
    finally:
        if readiness_file:
            readiness.remove(readiness_file)


def _report(folders: "Folders", *, with_pods: bool) -> "Callable[[], tuple[HTTPStatus, bytes]]":
    """Return what answers with what doctor finds on this node."""
    from cni.installer import node_report

    return node_report.Reports(node_report.command(folders, with_pods=with_pods)).answer


def _signs_of_life(reconciler: "Reconciler", readiness_file: Path | None, log: "LogQueue") -> Callable[[], None]:
    """Return what tells systemd, probes and `status` that the main loop has gone round once more."""
    from cni.installer.heartbeat import Heartbeat
    from cni.installer.log_line import ERROR
    from cni.installer.node.os_errors import one_line
    from cni.installer.presence import Presence

    heartbeat, presence = Heartbeat(os.environ), Presence()
    told = ""

    def give() -> None:
        nonlocal told
        heartbeat.beat()
        presence.show(reconciler.folders.state)
        fault = ""
        try:
            if readiness_file:
                readiness.update(readiness_file, reconciler.state.fault)
        except OSError as error:  # the node is to be kept all the same
            fault = one_line(error)
        if fault and fault != told:
            log.write(f"{ERROR}the readiness file cannot be written: {fault}")
        told = fault

    return give


def _give_up(log: "LogQueue") -> None:
    """End at once: whatever is cut off here, the next watch completes, as after any kill."""
    from cni.installer.log_line import ERROR

    log.write(f"{ERROR}what watch was doing did not end in time after the signal to stop, so it is cut off")
    log.close(_LAST_LINES)
    os._exit(1)
