"""The options that name a node's folders, for the commands that work on its installation, and how these fail.

The installer is imported when a command runs: `--help` does without it.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cni.defaults import MAIN_PLUGIN_TYPE
from cni.installer.errors import InstallerError


def takes_folders(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the node's folders; it gets a function that finds them."""

    @click.option("--cni-bin-dir", metavar="DIR", help="The folder of plugins; default: found automatically.")
    @click.option(
        "--cni-conf-dir", metavar="DIR", help="The folder of network configurations; default: found automatically."
    )
    @click.option(
        "--host-root",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path("/"),
        show_default=True,
        help="Where the node's file system is mounted. All other paths are the node's own.",
    )
    @functools.wraps(command)
    def with_folders(cni_bin_dir: str | None, cni_conf_dir: str | None, host_root: Path, **options: Any) -> None:
        from cni.installer.discovery import find_folders
        from cni.installer.node.host_root import HostRoot

        plugin_type = options.get("plugin_type", MAIN_PLUGIN_TYPE)
        root = HostRoot(host_root.resolve())
        with failing_in_one_line():
            command(functools.partial(find_folders, root, cni_bin_dir, cni_conf_dir, plugin_type), **options)

    return with_folders


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """End with one line on stderr and exit status 1 for everything that can be wrong with a node."""
    try:
        yield
    except InstallerError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        from cni.installer.node.os_errors import one_line

        raise click.ClickException(one_line(error)) from None
