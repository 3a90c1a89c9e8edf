"""`spiderpool-ipam install`: put the plugin on this node and hand it Calico's conflist."""

import json
import re
from collections.abc import Callable
from typing import Any

import click

from cni.cli.node import takes_folders
from cni.installer import install as installer
from cni.installer.bundle import own as own_bundle
from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import settings
from cni.installer.conflist.record import Asked
from cni.installer.node.folders import Folders


class Duration(click.ParamType[float]):
    """Seconds, written as 0, 90, 60s or 2m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        match = re.fullmatch(r"([0-9]{1,5})(s|m|)", str(value))
        if not match:
            self.fail(f"{value!r}: want seconds, as 60s, or 2m, or 0", param, ctx)
        return float(match[1]) * (60 if match[2] == "m" else 1)


@click.command()
@takes_folders
@click.option(
    "--conf", default="", metavar="FILE", help="The file to swap (its name, or path), where several could be meant."
)
@click.option(
    "--as", "as_name", default="", metavar="NAME",
    help="Leave the conflist alone and put a swapped copy beside it; e.g. 05-spiderpool-calico.conflist.",
)  # fmt: skip
@click.option("--plugin-type", default="calico", show_default=True, help="The main plugin whose ipam is swapped.")
@click.option(
    "--wait-agent",
    type=Duration(),
    default="60s",
    show_default=True,
    help="For it and for Calico's conflist, before the first swap.",
)
@click.option("--set", "texts", multiple=True, metavar="KEY=VALUE", help="A key of our ipam object; repeat it.")
@click.option("--force", is_flag=True, help="Replace an ipam of any type.")
@click.option("--dry-run", is_flag=True, help="Only show what would change in the conflist.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def install(
    find: Callable[[], Folders],
    conf: str,
    as_name: str,
    plugin_type: str,
    wait_agent: float,
    texts: tuple[str, ...],
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put the plugin on this node and hand it Calico's conflist.

    First the plugin, then (before the first swap) the agent must answer, then the conflist: only the ipam value of the
    one plugin object changes, atomically. What was there is kept for uninstall. A second run changes nothing.
    """
    try:
        asked = Asked(plugin_type, conf, as_name, settings.parse(texts), force)
    except settings.SettingError as error:
        raise click.BadParameter(str(error), param_hint="--set") from None
    if dry_run:
        _show_difference(find(), asked, as_json)
        return
    tree = own_bundle.tree()
    if tree is None:
        raise click.ClickException(
            "this runs from sources: `make build`, then run dist/spiderpool-ipam/spiderpool-ipam"
        )
    done = installer.install(
        tree, own_bundle.version(), find, asked, wait_agent, lambda line: click.echo(line, err=True)
    )
    _show_json(done) if as_json else _show(done)


def _show_difference(folders: Folders, asked: Asked, as_json: bool) -> None:
    text = installer.difference(folders, asked)
    if as_json:
        click.echo(json.dumps({"diff": text, **_places(folders)}))
        return
    click.echo(text or f"nothing would change in {folders.conf_name}", nl=not text)


def _places(folders: Folders) -> dict[str, str]:
    return {"binDir": folders.bin_name, "confDir": folders.conf_name}


def _show_json(done: installer.Installed) -> None:
    report = {
        **_places(done.folders),
        "bundle": done.bundle.name,
        "bundleChanged": done.bundle.changed,
        "foreignKept": done.bundle.kept_foreign,
        "conflist": done.file,
        "conflistChanged": bool(done.why),
        "why": done.why,
        "loadedFirst": done.loaded_first or None,
    }
    click.echo(json.dumps(report))


def _show(done: installer.Installed) -> None:
    plugin = f"{done.folders.bin_name}/{bundle.PLUGIN}"
    click.echo(f"plugin    {plugin}: {done.bundle.name}, {'put there' if done.bundle.changed else 'as before'}")
    if done.bundle.kept_foreign:
        click.echo("          what was there of others is kept for uninstall")
    click.echo(f"conflist  {done.file}: {f'swapped ({done.why})' if done.why else 'as before'}")
    if done.loaded_first:
        click.secho(f"warning: runtimes load {done.loaded_first} before it", fg="yellow", err=True)
