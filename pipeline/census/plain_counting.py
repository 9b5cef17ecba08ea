"""What shards hold, counted with nothing but the libraries that anybody would read them with.

The census walks shards with the readers that the run used, too; an asset that these overlook
would be missing from both. So `tarfile`, `csv`, Arrow and a plain listing have their say.
"""

import csv
import gzip
import io
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ingestgate.assets import storage
from ingestgate.assets.shard import Shard

_METADATA = re.compile(r"(.*/)?metadata\.(csv|jsonl|parquet)")


class Held(NamedTuple):
    """What a shard holds, by name; rows have none, and are counted under "".

    Attributes:
        data: What has bytes, or is a row: each has to be accounted for.
        names: These, and names without bytes (links, directories).
    """

    data: Counter[str]
    names: Counter[str]


def count(shard: Shard) -> Held | None:
    """Returns what a shard holds; None for a format, or a file, that nobody else reads."""
    counter = _COUNTERS.get(shard.format)
    try:
        return None if counter is None else counter(shard)
    except (tarfile.TarError, OSError, EOFError, ValueError, csv.Error, pa.ArrowException):
        return None  # the run's reader refuses it by name, or reads on where others give up


def differences(
    held: Held, rows: Sequence[Mapping[str, Any]], admitted: Held | None
) -> Iterator[str]:
    """Yields what does not go together of a shard, its ledger and its output.

    Args:
        held: What the input holds.
        rows: The ledger's rows of it, with ``member``, ``position``, ``verdict``, ``sidecars``.
        admitted: What the output holds.
    """
    numbered = "" in held.names
    said = _said(rows, numbered)
    for name, number in (held.data - said).items():
        yield f"{number} of it in the input that the ledger does not have{_named(name)}"
    for name, number in (said - held.names).items():
        # Names the input does not hold are of what it only mentions: rows without a file.
        if held.names[name] or numbered:
            yield f"{number} of it in the ledger more than in the input{_named(name)}"
    let_in = _said([row for row in rows if row["verdict"] == "admitted"], numbered)
    for name, number in ((admitted.data if admitted else Counter[str]()) - let_in).items():
        yield f"{number} of it in the output that the ledger does not admit{_named(name)}"


def _named(name: str) -> str:
    return f": {name}" if name else ""


def _said(rows: Sequence[Mapping[str, Any]], numbered: bool) -> Counter[str]:
    if numbered:
        return Counter({"": len({row["position"] for row in rows})})
    named = Counter(row["member"] for row in rows)
    named.update(sidecar["member"] for row in rows for sidecar in row["sidecars"])
    return named


def _tar(shard: Shard) -> Held:
    data, names = Counter[str](), Counter[str]()
    with storage.open_read(shard.path) as source:
        packed = source.read(2) == b"\x1f\x8b"
        source.seek(0)
        plain = gzip.GzipFile(fileobj=source) if packed else source
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for info in archive:
                # What is not UTF-8, the ledger names in its own way.
                if info.name.isprintable():
                    names[info.name] += 1
                    data[info.name] += info.isreg()
    return Held(+data, names)


def _files(shard: Shard) -> Held:
    names = Counter(
        name for name in _below(shard.path) if name.isprintable() and not _METADATA.fullmatch(name)
    )
    return Held(names, names)


def _below(folder: str) -> Iterator[str]:
    """Yields what lies in a folder: files and links, under whatever name."""
    if storage.is_remote(folder):
        for entry in storage.walk(folder, partials=True):
            yield entry.path.removeprefix(f"{folder}/")
        return
    with os.scandir(folder) as listing:
        for item in listing:
            if item.is_dir(follow_symlinks=False):
                yield from (f"{item.name}/{name}" for name in _below(item.path))
            else:
                yield item.name


def _rows(number: int) -> Held:
    return Held(Counter({"": number}), Counter({"": number}))


def _parquet(shard: Shard) -> Held:
    with storage.open_read(shard.path) as source:
        return _rows(pq.ParquetFile(source).metadata.num_rows)


def _urls(shard: Shard) -> Held | None:
    suffix = shard.path.lower().rpartition(".")[2]
    if suffix == "parquet":
        return _parquet(shard)
    with storage.open_read(shard.path) as source:
        if suffix == "csv":
            return _rows(_csv_rows(source))
        if suffix in ("jsonl", "ndjson"):
            return _rows(sum(1 for line in source if line.strip()))
    return None


def _csv_rows(source: BinaryIO) -> int:
    with io.TextIOWrapper(source, "utf-8", "replace", newline="") as text:
        return sum(1 for row in csv.reader(text) if row) - 1  # the header


_COUNTERS: Mapping[str, Callable[[Shard], Held | None]] = {
    "webdataset": _tar,
    "img2dataset": _tar,
    "folder": _files,
    "parquet": _parquet,
    "url-manifest": _urls,
}
