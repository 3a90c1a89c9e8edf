"""`spiderpool-ipam install`: put the plugin on this node and swap Calico's conflist."""

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cni.cli.node_options import NodePath, takes_folders
from cni.cli.table import print_rows
from cni.defaults import MAIN_PLUGIN_TYPE

if TYPE_CHECKING:
    from cni.contracts.installation import Request
    from cni.contracts.reports import DryRunReport, InstallReport
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
    "--conf", type=NodePath(or_name=True), metavar="FILE",
    help="The file to swap, where several could be meant: its name in the folder, or a path (with a slash).",
)  # fmt: skip
@click.option(
    "--as", "as_name", metavar="NAME",
    help="Leave the conflist alone and put a swapped copy beside it; e.g. 05-spiderpool-calico.conflist; '' is in"
    " place.",
)  # fmt: skip
@click.option("--plugin-type", help=f"The main plugin whose ipam is swapped.  [default: {MAIN_PLUGIN_TYPE}]")
@click.option(
    "--wait-agent",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long to wait for the agent and for Calico's conflist, before the first swap.",
)
@click.option(
    "--set", "texts", multiple=True, metavar="KEY=VALUE", help="A key of our ipam object. Can be given more than once."
)
@click.option("--force", is_flag=True, help="Replace an ipam of any type.")
@click.option(
    "--image/--no-image", default=None,
    help="Whether the plugin may start from its image: an ADD takes a third of the time.  [default: where it works]",
)  # fmt: skip
@click.option("--reset", is_flag=True, help="Forget the options of the last installation; without it, they stay.")
@click.option("--dry-run", is_flag=True, help="Only show what would change in the conflist.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object (spec/report/install.schema.json).")
def install(
    find_folders: "Callable[[], Folders]",
    conf: str | None,
    as_name: str | None,
    plugin_type: str | None,
    wait_agent: float,
    texts: tuple[str, ...],
    force: bool,
    image: bool | None,
    reset: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put the plugin on this node and swap Calico's conflist.

    First the plugin, then (before the first swap) the agent must answer, then the conflist: only the ipam value of the
    one plugin object changes, atomically. What was there is kept for uninstall. A second run changes nothing. The
    options --conf, --as, --plugin-type, --set, --force and --no-image of an earlier installation stay unless they are
    given anew.
    """
    from cni.contracts.installation import Request

    no_image = None if image is None else not image
    options = {
        "conf": conf, "as_name": as_name, "plugin_type": plugin_type, "force": force or None, "no_image": no_image
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    request = Request({**given, "settings": _settings(texts)}, reset)
    find_folders = functools.partial(_find_expected, find_folders, click.get_current_context().params)
    report = _dry_run(find_folders(), request) if dry_run else _install(find_folders, request, wait_agent)
    if as_json:
        click.echo(report.to_json())
    else:
        _show(report)


def _find_expected(find_folders: "Callable[[], Folders]", flags: dict[str, Any]) -> "Folders":
    """Find the folders. NoneFoundError where the one of configurations was named, and may come: it is waited for.

    On a node that joins the cluster it may be made later than this. Where its parent folder is missing as well, the
    name is taken for a wrong one, unless the node is installed there: some platforms empty the folder at each boot.
    """
    from cni.installer import discovery
    from cni.installer.conflist.document import NoneFoundError

    folders = find_folders()
    for flag, folder in (("cni_bin_dir", folders.bin), ("cni_conf_dir", folders.conf)):
        if not flags[flag] or folder.is_dir():
            continue
        name, parent = folders.name_of(folder), folders.name_of(folder.parent)
        option = f"--{flag.replace('_', '-')} {name}"
        if folder.exists():
            raise discovery.FoldersError(f"{option}: it is no folder")
        if folder.parent.is_dir() and folder == folders.conf:
            raise NoneFoundError(f"{name} is not there yet, but {parent} is: check the name if it does not come")
        installed = discovery.installed_folders(folders.root)
        if not folder.parent.is_dir() and not (installed and installed.conf == folders.conf):
            raise discovery.FoldersError(f"{option}: neither this folder nor {parent} is there: check the name")
    return folders


def _settings(texts: tuple[str, ...]) -> dict[str, Any]:
    from cni.installer.conflist import settings

    try:
        return settings.read_settings(texts)
    except settings.SettingError as error:
        raise click.BadParameter(str(error), param_hint="--set") from None


def _dry_run(folders: "Folders", request: "Request") -> "DryRunReport":
    from cni.installer.install import dry_run

    return dry_run(folders, request)


def _install(find_folders: "Callable[[], Folders]", request: "Request", wait_agent: float) -> "InstallReport":
    from cni.installer.bundle import own
    from cni.installer.install import install

    tree = own.tree()
    if tree is None:
        raise click.ClickException(
            "this runs from a source tree: `make build`, then run dist/spiderpool-ipam/spiderpool-ipam"
        )
    return install(tree, own.version(), find_folders, request, wait_agent, log=lambda line: click.echo(line, err=True))


def _show(report: "DryRunReport | InstallReport") -> None:
    from cni.contracts.reports import DryRunReport

    if isinstance(report, DryRunReport):
        click.echo(report.diff or f"nothing would change in {report.conf_dir}\n", nl=False)
        _show_kept(report.options_kept)
        return
    plugin = f"{report.bin_dir}/spiderpool: {report.bundle}, {'installed' if report.bundle_changed else 'unchanged'}"
    kept = (
        "; another plugin of this name was there: it is kept, and returns at uninstall" if report.foreign_kept else ""
    )
    conflist = f"{report.conflist}: {f'swapped ({report.message})' if report.conflist_changed else 'unchanged'}"
    options = " ".join(report.options) or "none"
    print_rows({"plugin": plugin + kept, "starts": report.start, "conflist": conflist, "options": options})
    _show_kept(report.options_kept)
    if report.loaded_first:
        click.secho(f"warning: runtimes load {report.loaded_first} before it", fg="yellow", err=True)


def _show_kept(options: list[str]) -> None:
    if options:
        click.echo(f"kept from the last installation: {' '.join(options)} (--reset starts from the defaults)", err=True)
