"""`spiderpool-ipam status`: how this node's installation is."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import click

from cni.cli.node import takes_folders
from cni.installer import status as reporter
from cni.installer.node import pending as releases
from cni.installer.node.folders import Folders

READY_FOR = 10.0  # seconds


@click.command()
@takes_folders
@click.option(
    "--readiness-file",
    type=click.Path(path_type=Path),
    help="Only tell, by the exit status, whether watch keeps its readiness file up to date: for an exec probe.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(find: Callable[[], Folders], readiness_file: Path | None, as_json: bool) -> None:
    """Show how this node's installation is. The exit status is 0 only if all is well."""
    if readiness_file:
        raise SystemExit(not _is_fresh(readiness_file))
    folders = find()
    found = reporter.gather(folders, releases.count(folders))
    if as_json:
        click.echo(json.dumps({_camel(key): value for key, value in found._asdict().items()}))
    else:
        _show(found)
    raise SystemExit(bool(found.problems))


def _is_fresh(file: Path) -> bool:
    """Whether watch has touched its file lately: it does so twice a second, unless it hangs."""
    try:
        return time.time() - file.stat().st_mtime < READY_FOR
    except FileNotFoundError:
        return False


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _show(found: reporter.Status) -> None:
    rows = {
        "plugin": f"{found.plugin}: {found.current or 'not ours'}",
        "installed": ", ".join(found.installed) or "none",
        "conflist": f"{found.conflist}: {found.plugin_type} with ipam {found.ipam_type}" if found.conflist else "none",
        "swapped": _swapped(found),
        "agent": f"{found.agent_socket}: {found.agent_fault or 'healthy'}",
        "pending": f"{found.pending_releases} releases",
    }
    for name, text in rows.items():
        click.echo(f"{name:<11}{text}")
    for problem in found.problems:
        click.secho(f"problem: {problem}", fg="red", err=True)


def _swapped(found: reporter.Status) -> str:
    if not found.since:
        return "never"
    times = f"undone {found.reverts} times" if found.reverts else "never undone"
    return f"since {_time(found.since)}, last written {_time(found.applied)}, {times}" + (
        ", changed by others since" if found.edited else ""
    )


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
