"""Any Parquet table, by a column mapping; digests may be text or bytes."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.mapping import ColumnMapping
from ingestgate.blocklists.formats.record import Record

_BATCH = 16384


class ParquetTable:
    """The format ``parquet``."""

    name = "parquet"
    may_be_empty = False

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping

    def detect(self, head: bytes) -> bool:
        return head[:4] == b"PAR1"

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        wanted = sorted(set(self._mapping.columns.values()))
        number = 0
        try:
            table = pq.ParquetFile(source)
            for name in wanted:
                if name not in table.schema_arrow.names:
                    raise ListError(f"{path}, column {name}: no such column")
            for batch in table.iter_batches(_BATCH, columns=wanted):
                for row in _with_microseconds(batch).to_pylist():
                    number += 1
                    yield self._mapping.record(Fields(path, f"row {number}", row))
        except (pa.ArrowException, OSError, ValueError):
            # Arrow's messages can hold what is in the file.
            raise ListError(f"{path}, after row {number}: not a Parquet file, or damaged") from None


def _with_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch whose times are as fine as Python's: finer ones would not become any."""
    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type)
        else field
        for field in batch.schema
    ]
    return batch.cast(pa.schema(fields), safe=False)
