"""`spiderpool-ipam doctor`: find what is wrong between an annotation and the router, and how to mend it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cni.cli.doctor_options import Options, complete_id
from cni.cli.node_options import takes_folders
from cni.deadline import Deadline
from cni.installer.errors import InstallerError

if TYPE_CHECKING:
    from cni.contracts.doctor import DoctorReport, NodesReport
    from cni.contracts.facts import Facts, Unknown
    from cni.installer.node.folders import Folders

_PAUSE = 2.0  # seconds between two tries of --wait
_NO_ROUTER: "Unknown" = {"unknown": "what the router says was not given: --router"}
_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@takes_folders
@click.option("--node-only", is_flag=True, help="Check this node, and do not ask the cluster's API.")
@click.option("--cluster-only", is_flag=True, help="Check the cluster by its API, and not this node.")
@click.option("--kubeconfig", type=_EXISTING, help="The kubeconfig; default: as kubectl finds it.")
@click.option("--context", default="", help="The context of the kubeconfig; default: its current one.")
@click.option("--pre", is_flag=True, help="Check only what has to hold before install.")
@click.option("--nodes", is_flag=True, help="Ask watch on each node, by the API's proxy, what doctor finds there.")
@click.option("--no-pods", is_flag=True, help="Leave the names and addresses of pods out of the report.")
@click.option("--wait", type=click.FloatRange(0), default=0, metavar="SECONDS", help="Try again what time may mend.")
@click.option(
    "--only", multiple=True, metavar="ID", shell_complete=complete_id, help="Make this check only; may be repeated."
)
@click.option(
    "--skip", multiple=True, metavar="ID", shell_complete=complete_id, help="Leave this check out; may be repeated."
)
@click.option(
    "--fail-on",
    type=click.Choice(["failure", "warning", "nothing"]),
    default="failure",
    help="What makes the exit status 1; nothing: it is 0, whatever is found.",
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
@click.option(
    "--explain",
    default="",
    metavar="ID",
    shell_complete=complete_id,
    help="Say what a check looks at, why, and what to do.",
)
@click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    help="The language of why something matters and of what to do; default: the caller's (LANG), and en for JSON.",
)
def doctor(find_folders: "Callable[[], Folders]", **options: Any) -> None:
    """Find what is wrong between a pod's annotation and the router, and say how to mend it.

    The exit status is 0 if nothing has failed, 1 if something has, 2 for wrong usage, 3 if nothing could be checked.
    """
    given = Options(**options)
    if fault := given.fault:
        raise click.UsageError(fault)
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
    from cni.doctor import languages, pages
    from cni.doctor.checks import CHECKS

    language = given.language
    checks = languages.checks_in(language, CHECKS)
    if given.explain:
        click.echo(pages.explain(next(check for check in checks if check.id == given.explain), language))
    else:
        for line in pages.table(checks):
            click.echo(line)


def _check(given: Options, find_folders: "Callable[[], Folders]") -> None:
    from cni.doctor import discretion, render, run
    from cni.doctor.checks import CHECKS
    from cni.installer.bundle import own

    version = own.version()
    left_out: run.LeftOut = "cluster" if given.node_only else "node" if given.cluster_only else ""
    skipped = run.chosen(CHECKS, given.only, given.skip, pre=given.pre, left_out=left_out)
    said = _router(given.router)  # once: stdin has it only once
    deadline = Deadline(given.wait)
    while True:
        facts = _facts(given, find_folders, _wanted(given, run.wanted_facts(CHECKS, skipped)), version)
        if given.router or not given.origin:
            facts["cluster"]["router"] = said
        report = run.report(CHECKS, facts, skipped, version)
        if given.origin or not deadline.left() or not run.may_change(CHECKS, report):
            break
        render.progress("time may mend what was found, so it is tried again")
        deadline.sleep(_PAUSE)
    if given.nodes:
        report["nodes"] = _nodes(given)
    if given.no_pods:
        report = discretion.without_pods(report, CHECKS)
    if given.bundle:
        _write_bundle(given.bundle, facts, report)
    if given.pod:
        raise SystemExit(_show_way(given, facts, report))
    _show(given, facts, report)
    raise SystemExit(run.exit_status(report, given.fail_on))


def _router(name: str) -> Any:
    from cni.doctor.collect import router

    return router.read(name) if name else _NO_ROUTER


def _nodes(given: Options) -> "NodesReport":
    from cni.doctor import render
    from cni.doctor.collect import node_reports

    try:
        return node_reports.collect(given.kubeconfig, given.context, render.progress)
    except InstallerError as error:  # what else was found is to be told
        return {"answered": [], "silent": [{"because": str(error), "nodes": []}], "findings": [], "not_checked": []}


def _wanted(given: Options, wanted: set[str]) -> set[str]:
    """Return the facts to be read: beside those of the checks what else is asked for."""
    from cni.doctor.collect.document import ALL

    if given.bundle:
        return set(ALL)
    if given.pod:
        from cni.doctor.pod_way import USES

        return USES | wanted
    return wanted | {"cluster.api"} if given.suggest else wanted


def _facts(given: Options, find_folders: "Callable[[], Folders]", wanted: set[str], version: str) -> "Facts":
    """Read what is wanted: of a bundle, or of the node and the API."""
    from cni.doctor import render
    from cni.doctor.collect import cluster, document, node

    if given.origin:
        return _read_bundle(given.origin)
    collectors: dict[str, document.Collector] = {
        "node": lambda names: node.collect(find_folders, names, before_install=given.pre),
        "cluster": lambda names: cluster.collect(given.kubeconfig, given.context, names, render.progress),
    }
    if given.cluster_only:
        collectors["node"] = document.not_asked("the node was not looked at: --cluster-only")
    if given.node_only:
        collectors["cluster"] = document.not_asked("the API was not asked: --node-only")
    return document.gather(collectors, wanted, version)


def _read_bundle(path: Path) -> "Facts":
    from cni.doctor import bundle

    try:
        return bundle.read(path)
    except InstallerError as error:
        raise click.UsageError(f"--from: {error}") from None


def _write_bundle(path: Path, facts: "Facts", report: "DoctorReport") -> None:
    from cni.doctor import bundle

    try:
        bundle.write(path, facts, report)
    except InstallerError as error:
        raise click.UsageError(f"--bundle: {error}") from None
    except OSError as error:
        from cni.installer.node.os_errors import one_line

        raise click.UsageError(f"--bundle: {one_line(error)}") from None
    click.echo(f"{path} holds what was read: its README.txt says what that is", err=True)


def _show_way(given: Options, facts: "Facts", report: "DoctorReport") -> int:
    """Show the way of a pod's addresses; return 0 where no link is broken, 1 where one is, 3 where none is known."""
    from cni.doctor import languages, pod_way, render
    from cni.doctor.facts import FactReader, NotKnown

    reader = FactReader(facts, pod_way.USES)
    try:
        pod = pod_way.find_pod(reader, given.pod)
    except NotKnown as reason:
        click.echo(f"{given.pod}: not known: {reason}", err=True)
        return 3
    if pod is None:
        raise click.UsageError(f"--pod: there is no pod {given.pod}")
    links = list(pod_way.way(reader, pod))
    language = given.language
    report = languages.report_in(language, report)
    if given.is_json:
        render.show_json({**report, "way": [pod_way.reported(link, report) for link in links]})
    else:
        render.show_way(links, lambda link: pod_way.cause(link, report), pod_way.look_at(pod), language)
    return int(any(link.state == "broken" for link in links))


def _show(given: Options, facts: "Facts", report: "DoctorReport") -> None:
    from cni.doctor import languages, render, suggest
    from cni.doctor.checks import CHECKS
    from cni.doctor.facts import FactReader

    language = given.language
    report = languages.report_in(language, report)
    if given.suggest:
        for document in suggest.stream(report, suggest.tool(FactReader(facts))):
            click.echo(document)
    elif given.is_json:
        render.show_json(report)
    else:
        render.show(report, languages.checks_in(language, CHECKS), language, short=given.output == "short")
