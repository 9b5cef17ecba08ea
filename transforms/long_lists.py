"""How much the lists in a range of rows may hold: a file of a kilobyte may have billions."""

import pyarrow as pa

from ingestgate.assets.containers.arrow_text import is_list
from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Shard

#: As text, each takes some thirty bytes.
_MOST_NUMBERS = 1 << 26
#: What has a name of its own, or is nested deeper, takes several times as many.
_MOST_ITEMS = 1 << 23


def refuse_long_lists(shard: Shard, table: pa.Table) -> None:
    """Refuses rows whose lists hold more than could be judged in memory.

    Raises:
        ShardError: They do.
    """
    numbers = others = 0
    for chunk in (chunk for column in table.columns for chunk in column.chunks):
        flat = pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type)
        if flat and pa.types.is_primitive(chunk.type.value_type):
            numbers += len(chunk.flatten())
        else:
            others += _items(chunk)
    for count, most in ((numbers, _MOST_NUMBERS), (others, _MOST_ITEMS)):
        if count > most:
            raise ShardError(
                shard.name,
                f"lists in a range of its rows hold {count:,} items, more than {most >> 20} Mi: "
                "write fewer rows to a row group, or leave the column out",
            )


def _items(values: pa.Array) -> int:
    """Returns how many items lists hold, at any depth."""
    if isinstance(values, pa.DictionaryArray):
        return 0 if not pa.types.is_nested(values.type.value_type) else _items(values.dictionary)
    if pa.types.is_struct(values.type):
        return sum(map(_items, values.flatten()))
    if not is_list(values.type) and not pa.types.is_map(values.type):
        return 0
    inner = values.flatten() if is_list(values.type) else values.items
    return len(inner) + _items(inner)
