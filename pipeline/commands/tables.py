"""Tables on standard output, of which nothing is lost."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

#: No table is as wide; it takes only what its cells need.
_PIPED_WIDTH = 1 << 16


def show_table(table: "Table") -> None:
    """Prints a table, folding what is too wide for a terminal; elsewhere nothing is.

    Rich takes whatever is no terminal for one of 80 columns, and cuts there.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)
