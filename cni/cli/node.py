"""What the commands that work on a node's installation share: their options, and how they fail."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cni.installer.bundle.plugin_links import BundleError
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.record import RecordError
from cni.installer.install import InstallError
from cni.installer.node import folders
from cni.installer.node.agent_health import AgentError
from cni.installer.node.lock import LockedError
from cni.installer.node.os_errors import one_line


def takes_folders(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the node's folders; it gets a function that finds them."""

    @click.option("--cni-bin-dir", metavar="DIR", help="Where the plugins are; found by itself.")
    @click.option("--cni-conf-dir", metavar="DIR", help="Where the conflists are; found by itself.")
    @click.option(
        "--host-root",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path("/"),
        show_default=True,
        help="Where the node's file system is mounted. All other paths are the node's own.",
    )
    @functools.wraps(command)
    def with_folders(cni_bin_dir: str | None, cni_conf_dir: str | None, host_root: Path, **rest: Any) -> None:
        with told_in_one_line():
            plugin_type = rest.get("plugin_type", "calico")
            find = functools.partial(folders.find, host_root.resolve(), cni_bin_dir, cni_conf_dir, plugin_type)
            command(find, **rest)

    return with_folders


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """End with one line and exit status 1 for everything that an installation can fail of."""
    try:
        yield
    except (InstallError, ConflistError, BundleError, AgentError, LockedError, RecordError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(one_line(error)) from None
