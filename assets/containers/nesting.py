"""How deep what a landing zone holds may nest.

Parsers recurse: Python's give up somewhere beyond a thousand levels, and Arrow's end the process.
So depth is looked at before they are.
"""

import re
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ingestgate.assets.containers.old_times import ParquetFile

#: Levels of lists, structs and objects. No data set's records have a tenth of it.
MOST_NESTED = 100
#: Columns, groups of columns, or row groups of a Parquet file. Arrow survives this many groups
#: one inside another, and not twice as many. Columns of CSV and JSON Lines too: each takes Arrow
#: some ten kilobytes, whatever it holds.
MOST_OF_A_FOOTER = 10_000

# One that does not end goes on to the end: else it would be searched again from every quote in it.
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
# The bracket and the brace differ by this one bit.
_BIT, _OPENS, _CLOSES = 0x20, ord("{"), ord("}")


def open_parquet(source: BinaryIO, **options: Any) -> ParquetFile:
    """Opens a Parquet file of whatever origin.

    Raises:
        ValueError: Its columns nest too deep.
        OSError: It has more of something than `MOST_OF_A_FOOTER`, or as of `ParquetFile`.
    """
    parquet = ParquetFile(source, thrift_container_size_limit=MOST_OF_A_FOOTER, **options)
    level = [field.type for field in parquet.schema_arrow]
    for _ in range(MOST_NESTED):
        level = [kind.field(i).type for kind in level for i in range(kind.num_fields)]
        if not level:
            return parquet
    raise ValueError(f"its columns nest deeper than {MOST_NESTED} levels")


def first_too_deep(data: bytes, ends: npt.NDArray[np.int64]) -> int | None:
    """Returns which of some lines of JSON is the first to nest too deep, None if none does.

    Args:
        data: The lines, back to back.
        ends: int64, (n,); where each ends.
    """
    opened = np.searchsorted(np.flatnonzero(_brackets(data) == _OPENS), ends)
    starts = np.append(0, ends)[:-1]
    # Few lines open so much at all, be it within strings or one after another.
    for line in np.flatnonzero(np.diff(opened, prepend=0) > MOST_NESTED).tolist():
        bare = _brackets(_STRINGS.sub(b"", data[starts[line] : ends[line]]))
        levels = np.cumsum((bare == _OPENS).astype(np.int64) - (bare == _CLOSES))
        if levels.max(initial=0) > MOST_NESTED:
            return int(line)
    return None


def _brackets(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8) | np.uint8(_BIT)
