"""`spiderpool-ipam doctor`: find what is wrong between an annotation and the router, and how to mend it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cni.cli.node_options import takes_folders
from cni.deadline import Deadline

if TYPE_CHECKING:
    from cni.contracts.doctor import DoctorReport
    from cni.contracts.facts import Facts
    from cni.installer.node.folders import Folders

_PAUSE = 2.0  # seconds between two tries of --wait
_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    node_only: bool
    cluster_only: bool
    kubeconfig: Path | None
    context: str
    pre: bool
    wait: float
    only: Sequence[str]
    skip: Sequence[str]
    fail_on: Any
    output: str
    as_json: bool
    suggest: bool
    pod: str
    router: str
    bundle: Path | None
    origin: Path | None
    list_checks: bool
    explain: str


@click.command()
@takes_folders
@click.option("--node-only", is_flag=True, help="Check this node, and do not ask the cluster's API.")
@click.option("--cluster-only", is_flag=True, help="Check the cluster by its API, and not this node.")
@click.option("--kubeconfig", type=_EXISTING, help="The kubeconfig; default: as kubectl finds it.")
@click.option("--context", default="", help="The context of the kubeconfig; default: its current one.")
@click.option("--pre", is_flag=True, help="Check only what has to hold before install.")
@click.option("--wait", type=click.FloatRange(0), default=0, metavar="SECONDS", help="Try again what time may mend.")
@click.option("--only", multiple=True, metavar="ID", help="Make this check only; may be repeated.")
@click.option("--skip", multiple=True, metavar="ID", help="Leave this check out; may be repeated.")
@click.option(
    "--fail-on", type=click.Choice(["failure", "warning"]), default="failure", help="What makes the exit status 1."
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "short", "json"]), default="table", help="short: what is not ok."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object (spec/doctor/report.schema.json).")
@click.option("--suggest", is_flag=True, help="Print the manifests that mend what was found, as one stream of YAML.")
@click.option("--pod", default="", metavar="NS/NAME", help="Show the way of this pod's addresses, link by link.")
@click.option("--router", default="", metavar="FILE", help="What FRR says, as JSON; - is stdin. See --explain.")
@click.option("--bundle", type=_FILE, help="Write all that was read into this file (.tar.gz), for others to look at.")
@click.option("--from", "origin", type=_EXISTING, help="Check what a bundle holds, and nothing else.")
@click.option("--list", "list_checks", is_flag=True, help="List the checks.")
@click.option("--explain", default="", metavar="ID", help="Say what a check looks at, why, and what to do.")
def doctor(find_folders: "Callable[[], Folders]", **options: Any) -> None:
    """Find what is wrong between a pod's annotation and the router, and say how to mend it.

    The exit status is 0 if nothing has failed, 1 if something has, 3 if nothing could be checked.
    """
    given = Options(**options)
    if given.node_only and given.cluster_only:
        raise click.UsageError("--node-only and --cluster-only exclude each other")
    from cni.doctor.checks import CHECKS

    known = {check.id for check in CHECKS}
    for name in (*given.only, *given.skip, *([given.explain] if given.explain else [])):
        if name not in known:
            raise click.UsageError(f"there is no check {name!r}: --list shows all")
    if given.list_checks or given.explain:
        _document(given)
    else:
        _check(given, find_folders)


def _document(given: Options) -> None:
    from cni.doctor import pages
    from cni.doctor.checks import CHECKS

    if given.explain:
        click.echo(pages.explain(next(check for check in CHECKS if check.id == given.explain)))
    else:
        for line in pages.table(CHECKS):
            click.echo(line)


def _check(given: Options, find_folders: "Callable[[], Folders]") -> None:
    from cni.doctor import render, run
    from cni.doctor.checks import CHECKS
    from cni.installer.bundle import own

    version = own.version()
    skipped = run.chosen(CHECKS, given.only, given.skip, pre=given.pre)
    deadline = Deadline(given.wait)
    while True:
        facts = _facts(given, find_folders, run.wanted_facts(CHECKS, skipped), version)
        report = run.report(CHECKS, facts, skipped, version)
        if given.origin or not deadline.left() or not run.may_change(CHECKS, report):
            break
        render.progress("something may be well in a moment")
        deadline.sleep(_PAUSE)
    _show(given, report)
    raise SystemExit(run.exit_status(report, given.fail_on))


def _facts(given: Options, find_folders: "Callable[[], Folders]", wanted: set[str], version: str) -> "Facts":
    """Read what the checks look at."""
    from cni.doctor import render
    from cni.doctor.collect import cluster, document, node

    collectors: Mapping[str, document.Collector] = {
        "node": lambda names: node.collect(find_folders, names, before_install=given.pre),
        "cluster": lambda names: cluster.collect(given.kubeconfig, given.context, names, render.progress),
    }
    if given.cluster_only:
        collectors = {**collectors, "node": document.not_asked("the node was not looked at: --cluster-only")}
    if given.node_only:
        collectors = {**collectors, "cluster": document.not_asked("the API was not asked: --node-only")}
    return document.gather(collectors, wanted, version)


def _show(given: Options, report: "DoctorReport") -> None:
    from cni.doctor import render
    from cni.doctor.checks import CHECKS

    if given.as_json or given.output == "json":
        render.show_json(report)
    else:
        render.show(report, CHECKS, short=given.output == "short")
