"""Starts `spiderpool-ipam`: the table of its commands. The module of a command is imported only when it is called."""

import importlib
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from cni import ready
from cni.cli import streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Name -> (module, the line in `--help`, which does not show a command without one). To import all of them at the start
# would take 400 ms.
COMMANDS = {
    "install": ("cni.cli.install", "Put the plugin on this node and into Calico's conflist."),
    "uninstall": ("cni.cli.uninstall", "Restore Calico's conflist and remove the plugin."),
    "status": ("cni.cli.status", "Show the state of this node's installation."),
    "watch": ("cni.cli.watch", "Keep this node as install has set it up."),
    "doctor": ("cni.cli.doctor", "Find what is wrong between an annotation and the router."),
    "pending": ("cni.cli.pending", "Show, or drop, the releases that no agent has taken yet."),
    "attach": ("cni.cli.attach", "Run a conflist's IPAM plugin by hand, as Calico does."),
    "agent": ("cni.cli.agent", "Serve the embedded agent where there is no Kubernetes."),
    "detect": ("cni.cli.detect", ""),
    "folders": ("cni.cli.folders", ""),
    "version": ("cni.cli.version", "Show the version, and what the plugin speaks."),
}


class LazyGroup(click.Group):
    """A click group whose commands are in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the commands that `--help` shows."""
        return [name for name, (_, text) in COMMANDS.items() if text]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return its click command, which has the same name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; where there is none, say which may be meant: click knows only its own."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=self.list_commands(ctx), ctx=ctx
            ) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Complete the name of a command, or an option, without importing the modules."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each command, without importing the modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items() if text])


def _show_version(ctx: click.Context, _option: click.Parameter, is_given: bool) -> None:
    if not is_given or ctx.resilient_parsing:
        return
    from cni.cli.node_options import failing_in_one_line
    from cni.installer.bundle import own

    with failing_in_one_line():
        click.echo(f"spiderpool-ipam {own.version()}")
    ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def spiderpool_ipam() -> None:
    """Operate spiderpool, the CNI IPAM plugin for Calico with SpiderPool."""


def _abort(_number: int, _frame: FrameType | None) -> None:
    """End at once, as by any other signal: what a killed command leaves is completed by the next.

    The exception that Python raises would come up anywhere: the import of a module swallows it, or shows a traceback.
    """
    with suppress(OSError):
        if ready.to_write(2, 0):
            os.write(2, b"Aborted!\n")
    os._exit(1)


def main() -> NoReturn:
    """Run the command line and exit with the status of the command, or with 2 for wrong usage."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _abort)
    # The launcher (build/launcher.c) holds them back until here.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    stdout = streams.replace_streams()
    try:
        status = spiderpool_ipam(prog_name="spiderpool-ipam")
    except SystemExit as end:
        status = end.code
    sys.exit(streams.exit_status(int(status or 0), stdout))


if __name__ == "__main__":
    main()
