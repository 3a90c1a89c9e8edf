"""`spiderpool-ipam pending`: show the releases that no agent has taken yet, and drop those of one agent."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cni.cli.node_options import NodePath, takes_folders
from cni.cli.table import counted

if TYPE_CHECKING:
    from cni.installer.node.folders import Folders


@click.command()
@takes_folders
@click.option(
    "--drop",
    type=NodePath(),
    metavar="SOCKET",
    help="Forget the releases of the agent on this socket, which stay allocated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object (spec/report/pending.schema.json).")
def pending(find_folders: "Callable[[], Folders]", drop: str | None, as_json: bool) -> None:
    """Show the releases that no agent has taken yet: for which agent, how many, and since when.

    A DEL that finds the agent away writes its release down. The embedded agent takes it when it is back. What a real
    agent has missed is freed by spiderpool-controller.
    """
    from cni.contracts.reports import PendingReport
    from cni.installer.node import pending as releases

    folders = find_folders()
    dropped = releases.drop(folders, drop) if drop else 0
    report = PendingReport(agents=releases.by_agent(folders), dropped=dropped)
    if as_json:
        click.echo(report.to_json())
        return
    if drop:
        click.echo(f"dropped {counted(dropped, 'release')} of the agent on {drop}")
    for agent in report.agents:
        click.echo(releases.describe(agent))
    if not report.agents:
        click.echo("no release is pending")
