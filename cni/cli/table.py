"""Prints tables for people, with rich, which is imported only then. Side effect: writes to stdout.

Texts are printed as they are: square brackets are no markup. On a terminal, long texts are wrapped. Elsewhere a program
may read them, so nothing is wrapped, cut or coloured.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_PIPE_WIDTH = 1_000_000  # characters


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

    if sys.stdout.isatty():
        Console(markup=False, highlight=False, emoji=False).print(table)
        return
    console = Console(width=_PIPE_WIDTH, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
