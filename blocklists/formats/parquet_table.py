"""Any Parquet table, by a column mapping; digests may be text or bytes."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.containers.nesting import open_parquet
from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.mapping import ColumnMapping
from ingestgate.blocklists.formats.record import Record

_BATCH = 256  # rows at a time: a value they share is in the file once
_MAX_BATCH = 1 << 20  # bytes of those; no partner's rows come near it
_BUFFER = 1 << 20


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
            table = open_parquet(source, pre_buffer=False, buffer_size=_BUFFER)
            for name in wanted:
                if name not in table.schema_arrow.names:
                    raise ListError(f"{path}, column {name}: no such column")
                if table.schema_arrow.names.count(name) > 1:
                    raise ListError(f"{path}, column {name}: there is more than one")
            for batch in table.iter_batches(_BATCH, columns=wanted, use_threads=False):
                if sum(map(_size, batch.columns)) > _MAX_BATCH:
                    raise ListError(f"{path}, after row {number}: rows longer than any there are")
                for row in _with_microseconds(batch).to_pylist():
                    number += 1
                    yield self._mapping.record(Fields(path, f"row {number}", row))
        except (OverflowError, LookupError):  # as times become Python's
            raise ListError(
                f"{path}, after row {number}: holds a time that is not within the years 1 to "
                "9999, or of a zone that is not known, or is damaged"
            ) from None
        except (pa.ArrowException, OSError, ValueError):
            # Arrow's messages can hold what is in the file.
            raise ListError(f"{path}, after row {number}: not a Parquet file, or damaged") from None


def _size(column: pa.Array) -> int:
    """Returns the bytes that the values of a column take once each row has its own."""
    kind = column.type
    if not pa.types.is_dictionary(kind) or pa.types.is_primitive(kind.value_type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    return pc.sum(lengths.take(column.indices)).as_py() or 0


def _with_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch whose times are as fine as Python's: finer ones would not become any."""
    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type)
        else field
        for field in batch.schema
    ]
    return batch.cast(pa.schema(fields), safe=False)
