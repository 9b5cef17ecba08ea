"""Rows of the manifests as a file of their own: JSON lines, Parquet, or CSV for spreadsheets.

A spreadsheet takes a cell that starts with ``=``, ``+``, ``-`` or ``@`` for a formula, and what
an asset carried beside it was written by strangers: in CSV, such a cell gets an apostrophe in
front (CWE-1236). Every cell is quoted, lines end in CRLF (RFC 4180), and a byte order mark says
that it is UTF-8.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.quarantine.manifest import BATCH_ROWS, ManifestRow, arrow_schema
from ingestgate.quarantine.outside import require_outside

#: What an export has beside a manifest row's fields.
ADDED: Final = ("cluster", "state", "up_for_review")
COLUMNS: Final = (*ManifestRow.model_fields, *ADDED)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def require_new(root: str, path: str) -> None:
    """Refuses a path that something is at already, or that lies in a quarantine.

    Args:
        root: The quarantine that is exported from.
        path: Where the export is to go.

    Raises:
        UsageError: It is such a path.
        StorageError: It cannot be told.
    """
    require_outside(root, path)
    if storage.is_there(path):
        raise UsageError(f"{path}: exists; a file is never overwritten, give another name")


def export(rows: Iterable[Mapping[str, Any]], form: str, path: str) -> int:
    """Writes rows, as `select` yields them, to a private file; returns how many.

    Args:
        rows: They are taken one at a time.
        form: ``csv``, ``jsonl`` or ``parquet``.
        path: The file; it appears whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    writers = {"csv": _write_csv, "jsonl": _write_lines, "parquet": _write_parquet}
    with storage.write_atomic(path, private=True) as sink:
        return writers[form](rows, sink)


def neutral(text: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _write_lines(rows: Iterable[Mapping[str, Any]], sink: BinaryIO) -> int:
    count = 0
    for row in rows:
        count += 1
        sink.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
    return count


def _write_csv(rows: Iterable[Mapping[str, Any]], sink: BinaryIO) -> int:
    count = 0
    sink.write("\ufeff".encode() + _csv_line(COLUMNS))
    for row in rows:
        count += 1
        sink.write(_csv_line([_cell(row[name]) for name in COLUMNS]))
    return count


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _csv_line(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(map(neutral, cells))
    return text.getvalue().encode("utf-8")


def _write_parquet(rows: Iterable[Mapping[str, Any]], sink: BinaryIO) -> int:
    schema = arrow_schema()
    for name in ADDED:
        kind = pa.bool_() if name == "up_for_review" else pa.string()
        schema = schema.append(pa.field(name, kind, nullable=False))
    count = 0
    with pq.ParquetWriter(sink, schema, compression="zstd", version="2.6") as parquet:
        for batch in _batches(rows):
            parquet.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append({**row, "provenance": list(row["provenance"].items())})
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
