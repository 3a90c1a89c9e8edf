"""The options that name a node's folders and files, for the commands that work on its installation, and how these fail.

The installer is imported when a command runs: `--help` does without it.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cni.defaults import MAIN_PLUGIN_TYPE
from cni.installer.errors import InstallerError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from cni.installer.node.folders import Folders


class NodePath(click.ParamType[str]):
    """A path of the node, as the node itself calls it. A relative one is meant from the caller's folder.

    Where the node's file system is mounted elsewhere, the caller's folder is not the node's: it is refused.
    """

    name = "path"

    def __init__(self, *, or_name: bool = False) -> None:
        """Make the type of an option; with `or_name`, what has no slash is a name in another folder and stays one."""
        self._or_name = or_name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return an absolute path, or the name."""
        text = str(value)
        if not text or (self._or_name and "/" not in text):
            return text
        if text.startswith("/"):
            return "/" + text.lstrip("/")  # two slashes at the start would be another root
        # --host-root is eager, so its value is there, whatever the order on the command line.
        if ctx and ctx.params["host_root"].resolve() != Path("/"):
            self.fail(f"{text!r} is relative, but --host-root is given: name it as the node does, from /", param, ctx)
        path = Path(text).absolute()
        # Links stay in the name, because microk8s' lead elsewhere after each refresh. With ".." they cannot.
        return str(path.resolve() if ".." in path.parts else path)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        """Have the shell complete it, as every path."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class FileToMake(click.Path):
    """A path that ends in the name of a file, which need not be there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not Path(value).name:  # also "": a variable was empty
            self.fail(f"{str(value)!r} is no file's name", param, ctx)
        return super().convert(value, param, ctx)


def takes_folders(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name the node's folders; it gets a function that finds them."""

    @click.option(
        "--cni-bin-dir", type=NodePath(), metavar="DIR", help="The folder of plugins; default: found automatically."
    )
    @click.option(
        "--cni-conf-dir",
        type=NodePath(),
        metavar="DIR",
        help="The folder of network configurations; default: found automatically.",
    )
    @click.option(
        "--host-root",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path("/"),
        show_default=True,
        is_eager=True,
        help="Where the node's file system is mounted. The paths of CNI's folders and files, and of sockets, are the"
        " node's own.",
    )
    @functools.wraps(command)
    def with_folders(cni_bin_dir: str | None, cni_conf_dir: str | None, host_root: Path, **options: Any) -> None:
        plugin_type = options.get("plugin_type") or MAIN_PLUGIN_TYPE
        with failing_in_one_line():
            command(functools.partial(_find, host_root.resolve(), cni_bin_dir, cni_conf_dir, plugin_type), **options)

    return with_folders


def _find(host_root: Path, bin_dir: str | None, conf_dir: str | None, plugin_type: str) -> "Folders":
    """Import the installer now: a probe, which asks for no folders, is run all the time on every node."""
    from cni.installer.discovery import find_folders
    from cni.installer.node.host_root import HostRoot

    return find_folders(HostRoot(host_root), bin_dir, conf_dir, plugin_type)


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
