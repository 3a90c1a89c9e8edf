"""How reports are printed for people: names on the left, texts beside them. Side effect: writes to stdout."""

import sys
from collections.abc import Mapping

_PIPE_WIDTH = 100_000  # a pipe has no width: nothing is wrapped there


def print_rows(rows: Mapping[str, str]) -> None:
    """Print one row for each name. The texts are printed literally, wrapped on a terminal only."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(Text(name, style="bold"), Text(text))
    console = Console(file=sys.stdout)
    if console.is_terminal:
        console.print(table)
        return
    console = Console(file=sys.stdout, width=_PIPE_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
