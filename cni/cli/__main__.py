"""Where `spiderpool-ipam` starts: the table of commands. A command's module is imported only when it is called."""

import importlib
from typing import Any

import click

# name -> (module, what `--help` says; nothing hides it). A frozen start that imports everything takes 400 ms.
COMMANDS = {
    "install": ("cni.cli.install", "Put the plugin on this node and hand it Calico's conflist."),
    "uninstall": ("cni.cli.uninstall", "Give Calico's conflist back and take the plugin away."),
    "status": ("cni.cli.status", "Show how this node's installation is."),
    "watch": ("cni.cli.watch", "Keep what install has done."),
    "attach": ("cni.cli.attach", "Run a conflist's IPAM plugin by hand, as Calico does."),
    "agent": ("cni.cli.agent", "Serve the embedded agent where there is no Kubernetes."),
    "detect": ("cni.cli.detect", ""),
    "version": ("cni.cli.version", "Show the version, and what the plugin speaks."),
}


class LazyGroup(click.Group):
    """A click group that looks its commands up in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the commands that people run."""
        return [name for name, (_, text) in COMMANDS.items() if text]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the click command of the same name in it."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' one-line helps without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items() if text])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def spiderpool_ipam() -> None:
    """Operate spiderpool, the CNI IPAM plugin for Calico with SpiderPool."""


def main() -> Any:
    """Run the command line; exits with the command's status (2 for wrong usage)."""
    return spiderpool_ipam(prog_name="spiderpool-ipam")


if __name__ == "__main__":
    main()
