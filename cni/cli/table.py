"""Prints tables for people, with rich, which is imported only then. Side effect: writes to stdout.

Texts are printed as they are: square brackets are no markup. On a terminal, long texts are wrapped. Elsewhere a program
may read them, so nothing is wrapped, cut or coloured.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

_PIPE_WIDTH = 1_000_000  # characters


def literal(text: str) -> str:
    """Return a text on one line, with the characters escaped that would not be seen: a terminal would obey some."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def counted(number: int, noun: str) -> str:
    """Return "1 release", or "2 releases"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def print_table(columns: Mapping[str, list[str]]) -> None:
    """Print columns below their titles."""
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    _print(table)


def print_rows(rows: Mapping[str, str]) -> None:
    """Print names on the left, each with its text beside it."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text)
    _print(table)


def _print(table: "Table") -> None:
    from rich.console import Console

    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    plain: dict[str, Any] = {} if on_terminal else {"width": _PIPE_WIDTH, "color_system": None}
    console = Console(markup=False, highlight=False, emoji=False, **plain)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    click.echo("\n".join(line.rstrip() for line in lines))  # it flushes: what goes to stderr comes after it
