"""The Parquet and stats files of img2dataset's trio."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ingestgate.assets import storage
from ingestgate.assets.carrying import carries
from ingestgate.assets.containers.byte_columns import refuse_bytes
from ingestgate.assets.containers.old_times import ParquetFile
from ingestgate.assets.containers.row_groups import opened
from ingestgate.assets.errors import ShardError
from ingestgate.assets.provenance import once
from ingestgate.assets.shard import Shard

#: Columns by which img2dataset's Parquet files are known.
COLUMNS = frozenset({"key", "status"})
_TAR = re.compile(r"\.(tar|tar\.gz|tgz)\Z", re.IGNORECASE)
#: Those that tell what stays and what the stats count.
COUNTED = ("key", "status", "error_message")
_SUCCESS = "success"
# What img2dataset counts stays far below: error messages, of which some quote the URL.
_MOST_STATS_BYTES = 16 << 20
_LONGEST_NAME = 4096  # characters


def part_names(tar: str) -> tuple[str, str]:
    """Returns the names of the Parquet file and of the stats that belong to a tar of a name."""
    stem = _TAR.sub("", tar)
    return f"{stem}.parquet", f"{stem}_stats.json"


@contextmanager
def open_rows(shard: Shard) -> Iterator[ParquetFile]:
    """Opens a trio's Parquet file; what goes wrong inside the block is the shard's error."""
    with opened(shard._replace(path=shard.parts[0])) as rows:
        if not set(rows.schema_arrow.names) >= COLUMNS:
            raise ShardError(shard.name, "its Parquet file has no columns key and status")
        refuse_bytes(
            shard.name,
            rows.schema_arrow,
            "its Parquet file",
            "leave these columns out, or make it an input of its own in another folder",
        )
        yield rows


def keys_of(shard: Shard, table: pa.Table) -> list[str]:
    """Returns the keys of a table's rows.

    Raises:
        ShardError: A row has none.
    """
    keys = table.column("key").to_pylist()
    if None in keys:
        raise ShardError(shard.name, "a row of its Parquet file has no key")
    return [str(key) for key in keys]


def row_key(sample: str) -> str:
    """Returns the key of a sample's row, without the ``./`` that a tar of the folder ``.`` has."""
    return sample.removeprefix("./")


class StatsCount:
    """Counts, of the rows that stay, what ``_stats.json`` counts of all."""

    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()

    def add(self, table: pa.Table) -> None:
        """Counts a table's rows."""
        statuses = [str(status) for status in table.column("status").to_pylist()]
        self._statuses.update(statuses)
        messages: list[Any] = [None] * len(statuses)
        if "error_message" in table.column_names:
            messages = table.column("error_message").to_pylist()
        # As img2dataset does: a success counts as such, a failure under its message.
        self._messages.update(
            status if status == _SUCCESS or message is None else str(message)
            for status, message in zip(statuses, messages, strict=True)
        )

    def applied(self, stats: Mapping[str, Any]) -> dict[str, Any]:
        """Returns stats with their counts replaced; other fields, and the order, stay."""
        counts: dict[str, Any] = {
            "count": self._statuses.total(),
            "successes": self._statuses[_SUCCESS],
            "failed_to_download": self._statuses["failed_to_download"],
            "failed_to_resize": self._statuses["failed_to_resize"],
        }
        before = stats.get("status_dict")
        order = [*before, *self._messages] if isinstance(before, dict) else [*self._messages]
        counts["status_dict"] = {
            message: self._messages[message]
            for message in dict.fromkeys(order)
            if self._messages[message]
        }
        return {name: counts.get(name, value) for name, value in stats.items()}


def read_stats(shard: Shard, path: str) -> dict[str, Any]:
    """Reads a stats file: named numbers, and by name counts of what happened.

    It may be copied as it stands, so there is to be nothing else in it.

    Raises:
        ShardError: It is not that, or holds too much of it.
    """
    if storage.status(path).size > _MOST_STATS_BYTES:
        problem = f"its stats file has more than {_MOST_STATS_BYTES >> 20} MiB"
        raise ShardError(shard.name, problem)
    try:
        stats = json.loads(storage.read_bytes(path), object_pairs_hook=once)
    except (ValueError, RecursionError):
        stats = None
    if not isinstance(stats, dict):
        raise ShardError(shard.name, "its stats file is not a JSON object, or has a key twice")
    counts = stats.get("status_dict")
    named = [*stats.items()]
    if isinstance(counts, dict):
        named = [(name, value) for name, value in named if value is not counts] + [*counts.items()]
    if not all(_is_named_number(name, value) for name, value in named) or carries(stats):
        problem = "its stats file holds more than numbers by name; leave out what is none"
        raise ShardError(shard.name, problem)
    return stats


def _is_named_number(name: str, value: object) -> bool:
    return len(name) <= _LONGEST_NAME and (value is None or isinstance(value, int | float))
