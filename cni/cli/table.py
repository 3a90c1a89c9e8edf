"""Prints a table with rich, which is imported only then."""

import sys


def print_table(columns: dict[str, list[str]]) -> None:
    """Print columns by their titles. Values are printed as they are: square brackets are no markup."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    # Where stdout is no terminal, a program may read it: nothing is wrapped or cut.
    width = None if sys.stdout.isatty() else 1_000_000
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)
