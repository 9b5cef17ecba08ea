"""img2dataset's trio: a WebDataset tar, a Parquet file of its rows, and ``_stats.json``.

The Parquet file has a row for each URL that was tried, the tar only what arrived; rows and
samples meet under the row's ``key``. A row without a sample is a reference: it has a source
to check, and no bytes. What is taken from the tar is taken from the rows, and counted out of
the stats, so that the three agree as they did.

The shard's `path` is the tar, its `parts` are the Parquet file and, where there is one, the
stats file, which img2dataset itself takes for the mark of a finished shard.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, NamedTuple

from ingestgate.assets.containers.arrow_text import readable_table, records
from ingestgate.assets.containers.container import ReadOptions
from ingestgate.assets.containers.row_groups import MOST_HELD, held_rows
from ingestgate.assets.containers.trio_files import keys_of, open_rows, read_stats, row_key
from ingestgate.assets.containers.trio_writer import TrioWriter, has_row, is_reference
from ingestgate.assets.containers.webdataset import WebDataset, walk_keys
from ingestgate.assets.errors import ShardError
from ingestgate.assets.file_digest import file_sha256
from ingestgate.assets.provenance import Named, of_record
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange

# Positions of rows without a sample: behind every byte offset of a tar.
_ROWS_FROM = 1 << 48


class Row(NamedTuple):
    """One row of the Parquet file: its number and all its scalars as text."""

    number: int
    provenance: Mapping[str, str]


class Img2Dataset:
    """Trios of tar, Parquet and stats (see `container.SampleContainer`)."""

    name: ClassVar[str] = "img2dataset"
    copies_whole: ClassVar[bool] = True

    def __init__(self) -> None:
        self._tar = WebDataset()

    def cut(self, shard: Shard, options: ReadOptions) -> list[WorkRange]:
        """Cuts the tar; the rows without a sample are in the last range."""
        if not shard.parts:
            problem = (
                "another tar has its name but for the suffix, and so its Parquet file: rename one"
            )
            raise ShardError(shard.name, problem)
        return self._tar.cut(shard, options)

    def range_sha256(self, shard: Shard, work: WorkRange) -> str:
        """Returns a digest of the rows and the stats; members of the tar are verified by theirs."""
        digest = hashlib.sha256()
        for part in shard.parts:
            digest.update(bytes.fromhex(file_sha256(part)))
        return digest.hexdigest()

    def read(self, shard: Shard, work: WorkRange, options: ReadOptions) -> Iterator[Sample]:
        """Yields a range's samples with their rows; then, in the last one, the other rows."""
        rows = _rows(shard)
        last = work.number == work.total - 1
        present = {row_key(key) for key in walk_keys(shard, work.start)} if last else set()
        for sample in self._tar.read(shard, work, options):
            if has_row(sample):
                key = row_key(sample.key)
                present.add(key)
                if key not in rows:
                    raise ShardError(shard.name, _rowless(sample))
                merged = _merged(rows[key].provenance, sample.provenance)
                sample = replace(sample, provenance=merged)
            yield sample
        if last:
            for path in shard.parts[1:]:
                read_stats(shard, path)  # what is copied is looked at
            for key, row in rows.items():
                if key not in present:
                    member = Member(key, _ROWS_FROM + row.number, None, Kind.REFERENCE)
                    yield Sample(key, (member,), row.provenance, ())

    def rewrite(self, shard: Shard, output_root: str) -> TrioWriter:
        """Returns a writer of the three files."""
        return TrioWriter(shard, output_root, self._tar.rewrite(shard, output_root))

    def package(self, shard: Shard, sample: Sample) -> list[tuple[str, bytes]]:
        """Returns the members' files, and the row as JSON."""
        row = json.dumps(dict(sample.provenance), indent=1, ensure_ascii=False).encode()
        files = [] if is_reference(sample) else self._tar.package(shard, sample)
        return [*files, (f"{sample.key}.provenance.json", row)]


def _rowless(sample: Sample) -> str:
    return (
        f"no row of its Parquet file has the key of the sample at byte {sample.members[0].position}"
        " of its tar, whose source nobody would check: write keys as text, as members are called, "
        "or move the Parquet file elsewhere"
    )


def _rows(shard: Shard) -> dict[str, Row]:
    """Reads all rows, by key, in their order."""
    rows: dict[str, Row] = {}
    size = 0
    with open_rows(shard) as source:
        for group in range(source.metadata.num_row_groups):
            table = held_rows(source, [group])
            size += table.nbytes
            if size > MOST_HELD:
                problem = f"its rows decode to more than {MOST_HELD >> 20} MiB"
                raise ShardError(shard.name, problem)
            said = records(readable_table(table))
            for key, record in zip(keys_of(shard, table), said, strict=True):
                if key in rows:
                    # By number: pictures may be called by their digests, and some are listed.
                    twice = f"rows {rows[key].number + 1} and {len(rows) + 1} of the Parquet file"
                    raise ShardError(shard.name, f"{twice} have the same key")
                rows[key] = Row(len(rows), of_record(record))
    return rows


def _merged(row: Mapping[str, str], sidecar: Mapping[str, str]) -> dict[str, str]:
    """Joins what the two say; where they differ, the sidecar's is kept as ``json.<name>``."""
    merged = Named(row)
    for name, value in sidecar.items():
        differs = merged.texts.get(name, value) != value
        merged.put(f"json.{name}" if differs else name, value)
    return merged.texts
