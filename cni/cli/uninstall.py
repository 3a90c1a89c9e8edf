"""`spiderpool-ipam uninstall`: give Calico's conflist its ipam back and take the plugin away."""

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cni.cli.node_options import takes_folders
from cni.contracts.exit_statuses import PLUGIN_STAYS

if TYPE_CHECKING:
    from cni.contracts.reports import PendingOfAgent, UninstallReport
    from cni.installer.node.folders import Folders


@click.command()
@takes_folders
@click.option("--force", is_flag=True, help="Take the plugin away although it is needed, and forget pending releases.")
@click.option("--stay", is_flag=True, help="When all is gone, wait for SIGTERM: a DaemonSet's container must not end.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object (spec/report/uninstall.schema.json).")
def uninstall(find_folders: "Callable[[], Folders]", force: bool, stay: bool, as_json: bool) -> None:
    """Give Calico's conflist its ipam back and take the plugin away.

    The plugin stays while a conflist names it, while pods that were started with it are there (CRI-O deletes a pod
    with the configuration of its start), and while releases are pending for an agent that is there. Then the exit
    status is 3: run it again later.
    The first two do not count where another plugin of this name was there before, and comes back.
    """
    report = _uninstall(find_folders(), force=force)
    if as_json:
        click.echo(report.to_json())
    else:
        for line in report.done or ["nothing was installed"]:
            click.echo(line)
        for reason in report.plugin_stays:
            click.secho(f"the plugin stays: {reason}", fg="yellow", err=True)
    if report.plugin_stays:
        raise SystemExit(PLUGIN_STAYS)
    if stay:
        # They are blocked first, because a container's first process gets no signal that it has no handler for.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


def _uninstall(folders: "Folders", *, force: bool) -> "UninstallReport":
    from cni.installer.uninstall import uninstall

    return uninstall(folders, lambda: _send_pending(folders), force=force)


def _send_pending(folders: "Folders") -> "list[PendingOfAgent]":
    from cni.installer.node import pending

    return pending.replay_patiently(folders, log=lambda line: click.echo(line, err=True))
