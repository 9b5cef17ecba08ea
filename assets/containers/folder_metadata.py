"""An image folder's metadata files: rows that say something of the files they name.

As Hugging Face's folder builder has them: ``metadata.csv``, ``metadata.jsonl`` or
``metadata.parquet``, in any directory; ``file_name`` and ``*_file_name`` (``file_names`` and
``*_file_names`` for lists), at any depth of a row, are relative to the file's own directory.
"""

import hashlib
import io
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets import storage
from ingestgate.assets.containers import row_groups
from ingestgate.assets.containers.arrow_text import decoded_table, readable_table, records
from ingestgate.assets.containers.byte_columns import refuse_bytes
from ingestgate.assets.containers.delimited import BOM, Csv, Dialect, JsonLines, chosen
from ingestgate.assets.containers.nesting import open_parquet
from ingestgate.assets.containers.old_times import ParquetFile
from ingestgate.assets.containers.row_groups import MOST_HELD
from ingestgate.assets.errors import ShardError
from ingestgate.assets.provenance import SIDECAR_ERROR, of_record

#: What metadata files are called.
NAMES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})

_DIALECTS: dict[str, Dialect] = {"csv": Csv(), "jsonl": JsonLines()}


class FolderMetadata:
    """One metadata file, kept in memory as it was read: what is judged is what is written.

    Args:
        shard: Name of the folder's shard, for errors.
        path: Where the file lies.
        name: Its path relative to the folder.

    Raises:
        ShardError: It cannot be read, or holds bytes of pictures itself.
    """

    def __init__(self, shard: str, path: str, name: str) -> None:
        self.path = path
        self.name = name
        self._shard = f"{shard}/{name}"
        if storage.status(path).size > MOST_HELD:
            raise ShardError(self._shard, f"has more than {MOST_HELD >> 20} MiB")
        self._content = storage.read_bytes(path)
        #: SHA-256 of the file, in hex.
        self.sha256 = hashlib.sha256(self._content).hexdigest()
        self._dialect = _DIALECTS.get(name.rpartition(".")[2])
        self._start = 0
        if self._dialect:
            self._start = self._dialect.header(self._content, self._shard, final=True) or 0
            table = self._dialect.table(
                self._content[self._start :],
                self._content[: self._start],
                self._shard,
                self._start,
            )
        else:
            with self._parquet() as parquet:
                remedy = "make it an input of its own, outside the folder"
                refuse_bytes(self._shard, parquet.schema_arrow, "", remedy)
                table = readable_table(row_groups.held_rows(parquet, range(parquet.num_row_groups)))
        with row_groups.explained(self._shard):
            self.table, self._undecoded = decoded_table(table)

    @contextmanager
    def _parquet(self) -> Iterator[ParquetFile]:
        with row_groups.explained(self._shard):
            parquet = open_parquet(io.BytesIO(self._content))
            row_groups.check_footer(self._shard, parquet)
            yield parquet

    @property
    def names_files(self) -> bool:
        """Whether it has a column for files at all."""
        return any(map(_names_files, self.table.schema))

    @property
    def is_blank(self) -> bool:
        """Whether nothing is in it, which is what JSON Lines are without their last row."""
        return not self._content.removeprefix(BOM).strip()

    def references(self) -> list[list[str]]:
        """Returns for each row the files it names, relative to the folder; [] for none.

        Names that lead out of the folder stay as they are: no file is called so.
        """
        columns = [field.name for field in self.table.schema if _names_files(field)]
        folder = posixpath.dirname(self.name)
        return [
            [posixpath.normpath(posixpath.join(folder, name)) for name in _named(row)]
            for row in self.table.select(columns).to_pylist()
        ]

    def records(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """Returns what rows say, flattened; those with bytes for text have a `SIDECAR_ERROR`."""
        values = records(self.table.take(pa.array(rows, pa.int64())))
        return [
            record | {SIDECAR_ERROR: "text that is not UTF-8"} if row in self._undecoded else record
            for row, record in zip(rows, map(of_record, values), strict=True)
        ]

    def chosen(self, keep: npt.NDArray[np.bool_], *, blanks: bool = True) -> bytes:
        """Returns the file with only those rows for which ``keep`` is true, else as it stands.

        Args:
            keep: bool, one a row.
            blanks: Whether blank lines of CSV and JSON Lines are kept.
        """
        if keep.all():
            return self._content
        if not self._dialect:
            with self._parquet() as parquet:
                return row_groups.chosen_rows(parquet, range(parquet.num_row_groups), keep)
        data = self._content[self._start :]
        lines = self._dialect.lines(data, self._shard, self._start, final=True)
        return self._content[: self._start] + chosen(data, lines, keep, blanks=blanks)


def _names_files(field: pa.Field) -> bool:
    kind = field.type
    children = list(map(kind.field, range(kind.num_fields)))
    return _is_name(field.name) or _is_names(field.name) or any(map(_names_files, children))


def _is_name(key: str) -> bool:
    return key == "file_name" or key.endswith("_file_name")


def _is_names(key: str) -> bool:
    return key == "file_names" or key.endswith("_file_names")


def _named(value: Any) -> Iterator[str]:
    """Yields the file names in a row, or in a part of one."""
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if _is_name(key) and isinstance(item, str):
            yield from [item] if item else []
        elif _is_names(key) and isinstance(item, list):
            yield from (name for name in item if isinstance(name, str) and name)
        else:
            yield from _named(item)
