"""`spiderpool-ipam folders`: install.sh runs it for the unit of watch, so `--help` does not list it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cni.cli.node_options import takes_folders

if TYPE_CHECKING:
    from cni.installer.node.folders import Folders


@click.command(hidden=True)
@takes_folders
@click.option("--refused-to", type=int, metavar="PID", help="Print only those that this watch cannot write to.")
def folders(find_folders: "Callable[[], Folders]", refused_to: int | None) -> None:
    """Print the folder of plugins, and then the folders that watch has to be able to write to, one a line."""
    from cni.installer.written import refused_folders, writable_folders

    found = find_folders()
    if refused_to is None:
        click.echo("\n".join([found.bin_name, *writable_folders(found)]))
    else:
        click.echo(", ".join(refused_folders(found, refused_to)))
