"""INT96, in which old Parquet files have times: nanoseconds of a day, and a day.

Arrow makes one number of nanoseconds of it, which holds the years 1677 to 2262, and wraps what is
not among them: 9999-12-31, the end of all times to many who write tables, is 1816-03-29 then.
"""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestgate.assets.containers.arrow_text import is_list

_ROWS = 256
# Seconds from 1970; a second less than nanoseconds of 64 bits hold.
_MOST_SECONDS = 2**63 // 10**9 - 1


class ParquetFile(pq.ParquetFile):
    """A Parquet file that can tell whether Arrow reads its times right.

    Args:
        source: The file.
        options: As `pq.ParquetFile` takes them.
    """

    def __init__(self, source: BinaryIO, **options: Any) -> None:
        super().__init__(source, **options)
        columns = map(self.schema.column, range(len(self.schema)))
        self._times = [column.path for column in columns if column.physical_type == "INT96"]
        if self._times:
            # All that INT96 can hold comes to some number of seconds.
            self._in_seconds = pq.ParquetFile(source, **options, coerce_int96_timestamp_unit="s")

    def check_times(self, groups: Sequence[int]) -> None:
        """Reads the times of some row groups, if there are any in INT96.

        Raises:
            ValueError: Arrow takes one for another.
        """
        if not self._times:
            return
        for batch in self._in_seconds.iter_batches(
            batch_size=_ROWS, row_groups=groups, columns=self._times, use_threads=False
        ):
            for times in (times for column in batch.columns for times in _times(column)):
                span = pc.min_max(times.cast(pa.int64())).as_py()
                if any(abs(end or 0) > _MOST_SECONDS for end in span.values()):
                    raise ValueError(
                        "a time in INT96 before the year 1678 or after 2261, which would be taken "
                        "for another; write times as INT64, in microseconds"
                    )


def _times(column: pa.Array) -> Iterator[pa.Array]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        yield column
    elif pa.types.is_struct(kind):
        for child in column.flatten():
            yield from _times(child)
    elif pa.types.is_map(kind):
        yield from _times(column.keys)
        yield from _times(column.items)
    elif is_list(kind):
        yield from _times(column.flatten())
