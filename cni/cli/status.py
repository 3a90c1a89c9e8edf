"""`spiderpool-ipam status`: report the state of this node's installation."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cni.cli.node_options import FileToMake, takes_folders
from cni.cli.table import counted, literal, print_rows
from cni.installer import readiness

if TYPE_CHECKING:
    from cni.contracts.reports import StatusReport
    from cni.installer.node.folders import Folders

_WATCH = {True: "runs", False: "does not run", None: "unknown: the state folder cannot be locked"}


@click.command()
@takes_folders
@click.option(
    "--readiness-file",
    type=FileToMake(),
    help="Only tell, by the exit status, whether watch keeps its readiness file up to date: for an exec probe.",
)
@click.option(
    "--liveness",
    is_flag=True,
    help="With --readiness-file: only tell whether watch goes on, whatever the state of the node.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object (spec/report/status.schema.json).")
def status(find_folders: "Callable[[], Folders]", readiness_file: Path | None, liveness: bool, as_json: bool) -> None:
    """Show the state of this node's installation. The exit status is 0 only if all is well."""
    if readiness_file:
        _probe(readiness_file, liveness=liveness)
    if liveness:
        raise click.UsageError("--liveness reads the file that --readiness-file names")
    from cni.installer.node import pending
    from cni.installer.status import gather

    folders = find_folders()
    report = gather(folders, pending.by_agent(folders))
    if as_json:
        click.echo(report.to_json())
    else:
        _show(report)
    raise SystemExit(bool(report.problems))


def _probe(file: Path, *, liveness: bool) -> NoReturn:
    """End as a probe: with status 1 and one line, which `kubectl describe pod` shows, where all is not well."""
    if found := readiness.silence(file) if liveness else readiness.fault(file):
        raise click.ClickException(f"{'not alive' if liveness else 'not ready'}: {found}")
    raise SystemExit(0)


def _show(report: "StatusReport") -> None:
    conflist = f"{report.conflist}: {report.plugin_type} with ipam {report.ipam_type}" if report.conflist else "none"
    print_rows(
        {
            "plugin": f"{report.plugin}: {report.bundle or 'not ours'}",
            "bundles": ", ".join(report.bundles) or "none",
            "starts": report.start,
            "conflist": conflist,
            "swapped": _swapped(report),
            "watch": _WATCH[report.watch_runs],
            "agent": f"{report.agent_socket}: {report.agent_fault or 'healthy'}",
            "pending": counted(report.pending_releases, "release"),
        }
    )
    for problem in report.problems:
        click.secho(f"problem: {literal(problem)}", fg="red", err=True)


def _swapped(report: "StatusReport") -> str:
    if not report.swapped_at:
        return "never"
    times = counted(report.drift_count, "time")
    drift = f"changed by others and swapped again {times}" if report.drift_count else "no drift"
    modified = ", changed by others since" if report.conflist_modified else ""
    return f"since {_time(report.swapped_at)}, last written {_time(report.written_at)}, {drift}{modified}"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
