"""`spiderpool-ipam uninstall`: give Calico's conflist back and take the plugin away."""

import json
import signal
from collections.abc import Callable

import click

from cni.cli.node import takes_folders
from cni.installer import install as installer
from cni.installer.node import pending as releases
from cni.installer.node.folders import Folders

PLUGIN_STAYS = 3


@click.command()
@takes_folders
@click.option("--force", is_flag=True, help="Take the plugin away although it is needed, and forget pending releases.")
@click.option("--stay", is_flag=True, help="When all is gone, wait for SIGTERM: a DaemonSet's container must not end.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def uninstall(find: Callable[[], Folders], force: bool, stay: bool, as_json: bool) -> None:
    """Give Calico's conflist back and take the plugin away.

    The plugin stays while a conflist names it, while pods that were started with it are there (CRI-O deletes a pod
    with the configuration of its start), and while releases are pending. Then the exit status is 3: run it again later.
    The first two do not count where another plugin of this name was there before, and comes back.
    """
    folders = find()
    done = installer.uninstall(folders, lambda: _replay(folders), force=force)
    if as_json:
        click.echo(json.dumps({"done": done.done, "pluginStays": done.plugin_stays}))
    else:
        for line in done.done or ["there was nothing to give back"]:
            click.echo(line)
        for reason in done.plugin_stays:
            click.secho(f"the plugin stays: {reason}", fg="yellow", err=True)
    if done.plugin_stays:
        raise SystemExit(PLUGIN_STAYS)
    if stay:
        # Blocked first: as a container's first process it would not get them otherwise.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


def _replay(folders: Folders) -> int:
    """Send what is pending; return how much is left."""
    releases.replay(folders, lambda line: click.echo(line, err=True))
    return releases.count(folders)
