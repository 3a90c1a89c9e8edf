"""Write the manual pages, and the completions of the shells, into share/ of the release, from click's tree of commands.

The completions are click's own. For the pages, click-man was tried and left: it does not escape what troff obeys in a
text, finds no command that is imported late, and knows no exit statuses.
Usage: share.py TREE (the date of the pages is SOURCE_DATE_EPOCH)
"""

import inspect
import os
import re
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from cni.cli.__main__ import spiderpool_ipam
from cni.contracts.exit_statuses import EVERY_COMMAND, EXIT_STATUSES

PROGRAM = "spiderpool-ipam"
# Where each shell looks below /usr/local/share, without any setting.
COMPLETIONS = {
    "bash": f"bash-completion/completions/{PROGRAM}",
    "zsh": f"zsh/site-functions/_{PROGRAM}",
    "fish": f"fish/vendor_completions.d/{PROGRAM}.fish",
}
_ESCAPED = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}


def completion(shell: str) -> str:
    """Return the script that completes the program in a shell."""
    kind = get_completion_class(shell)
    if not kind:
        raise ValueError(f"click completes nothing in {shell}")
    made = kind(spiderpool_ipam, {}, PROGRAM, f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE")
    script = made.source_template % made.source_vars()
    if shell == "zsh":
        # click's condition holds at the first completion of a session only, so the second one would find nothing.
        first_call, every_call = "$zsh_eval_context[-1] == loadautofunc", f"$funcstack[1] == _{PROGRAM}"
        if first_call not in script:
            raise ValueError("click's script for zsh is another one: see whether it completes more than once")
        script = script.replace(first_call, every_call)
    return script


def contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and those below it that people run, each in a context that knows its path."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command and not command.hidden:
                yield from contexts(click.Context(command, context, name))


def page(context: click.Context, release: str, date: str) -> str:
    """Return the manual page of a command."""
    command, name = context.command, page_name(context)
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH {escaped(name.upper())} 8 {date} "{PROGRAM} {release}" "SpiderPool"',
        ".SH NAME",
        f"{escaped(name)} \\- {prose(paragraphs[0]).rstrip('.')}",
        ".SH SYNOPSIS",
        f"\\fB{escaped(context.command_path)}\\fR {escaped(usage)}",
        ".SH DESCRIPTION",
        "\n.PP\n".join(prose(paragraph) for paragraph in paragraphs),
        *commands(context),
        *options(context),
        *exit_statuses(context),
        *see_also(context),
    ]
    return "\n".join(lines) + "\n"


def page_name(context: click.Context) -> str:
    """Return the name by which a page is asked for: `man spiderpool-ipam install` finds it as well."""
    return context.command_path.replace(" ", "-")


def commands(context: click.Context) -> Iterator[str]:
    """Yield the list of a group's commands."""
    below = [one for one in contexts(context) if one.parent is context]
    if below:
        yield ".SH COMMANDS"
    for one in below:
        yield from (".TP", f"\\fB{escaped(one.info_name or '')}\\fR", prose(one.command.get_short_help_str(200)))


def options(context: click.Context) -> Iterator[str]:
    """Yield the options, as `--help` shows them."""
    yield ".SH OPTIONS"
    for option in context.command.get_params(context):
        if record := option.get_help_record(context):
            flags = re.sub(r"(?<!\S)(\\-[^ ,/=]+)", r"\\fB\1\\fR", escaped(record[0]))
            yield from (".TP", flags, prose(record[1]))


def exit_statuses(context: click.Context) -> Iterator[str]:
    """Yield what the program ends with."""
    _, _, words = context.command_path.partition(" ")
    yield ".SH EXIT STATUS"
    everywhere = prose(EVERY_COMMAND)
    for status, meaning in EXIT_STATUSES.get(words.partition(" ")[0], {}).items():
        yield from (".TP", f"\\fB{status}\\fR", prose(meaning))
    yield from (".PP", everywhere) if words else (everywhere,)


def see_also(context: click.Context) -> Iterator[str]:
    """Yield the pages above and below."""
    near = [one for one in contexts(context) if one.parent is context]
    near = [context.parent, *near] if context.parent else near
    if near:
        names = [f"\\fB{escaped(page_name(one))}\\fR(8)" for one in near]
        yield from (".SH SEE ALSO", ".nh", ",\n".join(names))  # their names are not to be hyphenated


def prose(text: str) -> str:
    """Return a text as troff prints it, with what is in backquotes in bold."""
    pieces = re.split(r"`([^`]+)`", " ".join(text.split()))
    line = "".join(f"\\fB{escaped(one)}\\fR" if number % 2 else escaped(one) for number, one in enumerate(pieces))
    return f"\\&{line}" if line.startswith((".", "'")) else line


def escaped(text: str) -> str:
    """Return a text as troff prints it, in ASCII."""
    return "".join(_ESCAPED.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def publish() -> dict[str, str]:
    """Return what each file below share/ has to hold."""
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"])))
    root = click.Context(spiderpool_ipam, info_name=PROGRAM, **spiderpool_ipam.context_settings)
    release = metadata.version(PROGRAM)
    pages = {f"man/man8/{page_name(one)}.8": page(one, release, date) for one in contexts(root)}
    return {**{path: completion(shell) for shell, path in COMPLETIONS.items()}, **pages}


if __name__ == "__main__":
    for path, text in publish().items():
        file = Path(sys.argv[1]) / "share" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
