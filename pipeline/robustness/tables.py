"""The figures of `measuring` as tables: for a terminal, and as docs/robustness.md has them."""

from collections.abc import Iterable, Iterator, Sequence

from ingestgate.pipeline.robustness.measuring import GATE, Robustness

_NAME_WIDTH = 26
_CELL_WIDTH = 12


def text(result: Robustness) -> Iterator[str]:
    """Yields the lines of a table for a terminal."""
    columns = [*result.thresholds, GATE]
    yield f"{result.pictures} pictures, listed by {_listed_by(result)}; skipped: {_skipped(result)}"
    yield ""
    yield _line(["recall, %", *columns])
    yield from (_line(row) for row in _recalls(result, columns))
    yield _line(["default threshold", *(str(bits) for bits in result.thresholds.values())])
    precise = [_precise(result, column) for column in result.thresholds]
    yield _line(["precise threshold", *(f"{bits} ({recall})" for bits, recall in precise)])


def markdown(result: Robustness) -> Iterator[str]:
    """Yields the lines of both tables as docs/robustness.md has them."""
    own = [name for name in result.thresholds if name in result.listed_by]
    columns = [*own, GATE, *(name for name in result.thresholds if name not in own)]
    yield from _markdown(["recall, %", *columns], _recalls(result, columns))
    yield ""
    columns.remove(GATE)
    precise = [_precise(result, column) for column in columns]
    yield from _markdown(
        ["", *columns],
        [
            ["default threshold, bits", *(str(result.thresholds[one]) for one in columns)],
            [
                "highest threshold at which 99.99 % of matches are right",
                *(bits for bits, _ in precise),
            ],
            [
                "recall over all alterations at that threshold, %",
                *(recall for _, recall in precise),
            ],
        ],
    )


def _recalls(result: Robustness, columns: Sequence[str]) -> Iterator[list[str]]:
    for name in result.total:
        yield [name, *(f"{100 * result.recall(name, column):.1f}" for column in columns)]


def _precise(result: Robustness, column: str) -> tuple[str, str]:
    at = result.precise[column]
    return ("none", "-") if at is None else (str(at[0]), f"{100 * at[1]:.1f}")


def _listed_by(result: Robustness) -> str:
    return ", ".join(f"{by} ({name})" for name, by in result.listed_by.items())


def _skipped(result: Robustness) -> str:
    return ", ".join(f"{n} {why}" for why, n in sorted(result.skipped.items())) or "none"


def _line(cells: Sequence[str]) -> str:
    name, *others = cells
    return "".join([f"{name:<{_NAME_WIDTH}}", *(f"{cell:>{_CELL_WIDTH}}" for cell in others)])


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(header)
    yield "|" + "---|" * len(header)
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
