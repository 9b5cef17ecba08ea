"""Tables on standard output, of which nothing is lost and nothing moves a cursor."""

from collections.abc import Iterable, Sequence

from ingestgate.assets.printable import printable

#: No table is as wide; it takes only what its cells need.
_PIPED_WIDTH = 1 << 16


def show_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """Prints a table, folding what is too wide for a terminal; elsewhere nothing is.

    Rich takes whatever is no terminal for one of 80 columns, and cuts there.

    Args:
        headers: What the columns are called.
        rows: A cell for each; it may have several lines, and hold what came with an asset.
        title: Of the table.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(*headers, title=title)
    for row in rows:
        table.add_row(*("\n".join(map(printable, cell.split("\n"))) for cell in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)
