"""The manifest: what is in the quarantine, a row per asset, in JSON lines and Parquet.

``manifest/<shard>-<context>.jsonl`` and the same as ``.parquet``. The context in the name is
that of the judging: judging again under the same rules replaces a shard's manifest by the same
one, judging under other rules adds one, so that nothing that was ever quarantined drops out.
A row says what matched and where the asset came from. An asset that matched exactly has the
listed digest for its own, and its provenance may hold a listed source: a manifest is as
confidential as the lists are.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ingestgate.assets import storage
from ingestgate.assets.digesting import DigestingSink
from ingestgate.assets.errors import VaultError
from ingestgate.assets.ledger import DIGESTS, FINDING_TYPE
from ingestgate.assets.verdict import Reason, Tier, Verdict
from ingestgate.quarantine.presence import require_quarantine

#: Rows of version 1 did not say what their key file is; they are still read.
MANIFEST_VERSION: Final = 2
#: Rows are written to Parquet in batches of this many; no more are held in memory.
BATCH_ROWS = 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_CONTEXT = re.compile(r"[0-9a-f]{8,}")

Md5 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
Sha1 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
#: RFC 3339, UTC.
Time = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$")
]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class ManifestFinding(_Record):
    """One match; field by field a `verdict.Finding`."""

    list_id: str
    list_version: int
    entry_id: str
    category: str
    signal_type: str
    kind: str
    view: str
    distance: int
    threshold: int
    action: str
    feedback: str = ""
    suppression: str = ""


class ListUsed(_Record):
    """A list the asset was judged by."""

    list_id: str
    list_version: int
    digest: str
    """Hex digest of the compiled list."""


class ManifestRow(_Record):
    """A quarantined asset: what it is, why it was sealed, where it came from, where it lies."""

    schema_version: Literal[1, 2] = MANIFEST_VERSION
    asset_id: str
    dataset: str
    """The input as the run was told."""
    format: str
    """The container format it lay in."""
    shard: str
    """Path of the shard below the input's common root."""
    member: str
    field: str
    """The column path inside a row, or empty."""
    sample: str
    """Key of the sample, which was sealed as a whole."""
    verdict: Verdict
    reason: Reason
    tier: Tier | None
    """Strength of the evidence; null for an asset that fell with its sample."""
    findings: tuple[ManifestFinding, ...]
    media_type: str
    width: Count | None
    height: Count | None
    size: Count | None
    """Bytes of the asset as it lay in the landing zone."""
    md5: Md5 | None
    sha1: Sha1 | None
    sha256: Sha256 | None
    provenance: dict[str, str]
    """Every scalar the input carried beside the asset."""
    sealed_object: str
    """Path of the age file below the quarantine's root."""
    sealed_key: str
    """Path of the age file, likewise, that holds the key to it."""
    sealed_key_sha256: Sha256 | None = None
    """Digest of that file, then; null in rows of version 1. Rewrapping gives it another."""
    sealed_sha256: Sha256
    sealed_size: Count
    package_sha256: Sha256
    """Digest of the package inside the age file."""
    recipients: tuple[str, ...]
    """The public keys that the key to it was sealed to, then."""
    lists: tuple[ListUsed, ...]
    policy_digest: str
    software: str
    judged_at: Time
    sealed_at: Time


def manifest_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a manifest row."""
    return ManifestRow.model_json_schema(mode="serialization")


def arrow_schema() -> pa.Schema:
    """Returns the Arrow schema of a manifest's Parquet file, column by column the row."""
    text = pa.string()
    lists = pa.struct([("list_id", text), ("list_version", pa.int64()), ("digest", text)])
    types: dict[str, pa.DataType] = {
        "schema_version": pa.int32(),
        "findings": pa.list_(FINDING_TYPE),
        "width": pa.int32(),
        "height": pa.int32(),
        "size": pa.int64(),
        "provenance": pa.map_(text, text),
        "sealed_size": pa.int64(),
        "recipients": pa.list_(text),
        "lists": pa.list_(lists),
    }
    optional = {"tier", "width", "height", "size", "sealed_key_sha256", *DIGESTS}
    return pa.schema(
        [
            pa.field(name, types.get(name, text), nullable=name in optional)
            for name in ManifestRow.model_fields
        ]
    )


def manifest_name(shard: str) -> str:
    """Returns the stem of a shard's manifest files: flat, safe, and of no other shard."""
    digest = hashlib.sha256(shard.encode("utf-8", "surrogateescape")).hexdigest()
    safe = _UNSAFE.sub("_", shard)[-80:].lstrip(".") or "_"
    return f"{safe}-{digest[:8]}"


def manifest_stem(shard: str, context: str) -> str:
    """Returns the name of a shard's manifest files under a context, without their suffixes."""
    return f"{manifest_name(shard)}-{context[:8]}"


class _Files(NamedTuple):
    lines: storage.PendingFile
    columns: storage.PendingFile
    digested_lines: DigestingSink
    digested_columns: DigestingSink
    parquet: pq.ParquetWriter


class ManifestWriter:
    """Writes the manifest of one shard under one judging context.

    A context manager; what is not published when the block ends is discarded. Without a row,
    nothing is written.

    Args:
        root: The quarantine's root.
        shard: The shard's name.
        context: Hex digest of all that decided: the judging's context *and* the shard's
            identity. What was quarantined from a shard stays on record under its own context
            when the lists, or the shard's content, change.

    Attributes:
        stem: Name of the two files without their suffixes.
        rows: How many rows were added.
        digests: Once published, hex SHA-256 of each file by its suffix, as it was written.
    """

    def __init__(self, root: str, shard: str, context: str) -> None:
        if not _CONTEXT.fullmatch(context):
            raise VaultError("a judging context is a hex digest")
        self.stem = manifest_stem(shard, context)
        self.rows = 0
        self.digests: Mapping[str, str] = {}
        self._path = storage.join(root, "manifest", self.stem)
        self._files: _Files | None = None
        self._batch: list[dict[str, Any]] = []
        self._exits = ExitStack()

    def _open(self) -> _Files:
        enter = self._exits.enter_context
        lines = enter(storage.PendingFile(f"{self._path}.jsonl", private=True))
        columns = enter(storage.PendingFile(f"{self._path}.parquet", private=True))
        digested = DigestingSink(lines.sink), DigestingSink(columns.sink)
        # Entered last, so that it writes its footer before the file is discarded or published.
        parquet = pq.ParquetWriter(digested[1], arrow_schema(), compression="zstd", version="2.6")
        return _Files(lines, columns, *digested, enter(parquet))

    def add(self, row: ManifestRow) -> None:
        """Adds a row; rows stand in the order they are added.

        A write that fails leaves the ``with`` block as a StorageError.
        """
        if self._files is None:
            self._files = self._open()
        self._files.digested_lines.write(row.model_dump_json().encode("utf-8") + b"\n")
        columns = row.model_dump(mode="json")
        self.rows += 1
        self._batch.append({**columns, "provenance": list(row.provenance.items())})
        if len(self._batch) >= BATCH_ROWS:
            self._flush(self._files)

    def _flush(self, files: _Files) -> None:
        if self._batch:
            files.parquet.write_table(pa.Table.from_pylist(self._batch, schema=arrow_schema()))
            self._batch.clear()

    def publish(self) -> list[str]:
        """Makes both files durable under their names and returns their paths; [] without rows.

        Raises:
            StorageError: One could not be; the JSON lines, which are the record, come last.
        """
        if self._files is None:
            return []
        self._flush(self._files)
        self._files.parquet.close()
        self._files.columns.publish()
        self._files.lines.publish()
        self.digests = {
            "jsonl": self._files.digested_lines.sha256,
            "parquet": self._files.digested_columns.sha256,
        }
        return [self._files.lines.path, self._files.columns.path]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)


def every_row(root: str) -> Iterator[dict[str, Any]]:
    """Yields every row that lies in a quarantine's manifests, whoever wrote it; to act by none.

    In order of file name and line. Who acts reads by `manifest_reading`.

    Raises:
        UsageError: There is no such quarantine.
        VaultError: A line is damaged; names file and line, never what it says.
        StorageError: A file cannot be read.
    """
    folder = storage.join(root, "manifest")
    require_quarantine(root)
    for entry in storage.walk_if_there(folder):
        if entry.path.endswith(".jsonl"):
            yield from read_manifest_file(entry.path)


def read_manifest_file(path: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of one manifest's JSON lines; raises as `every_row` does."""
    with storage.open_read(path) as source:
        yield from parse_rows(source, path)


def parse_rows(lines: Iterable[bytes], path: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of some JSON lines; ``path`` is what to call them in an error."""
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            raise VaultError(f"{path}:{number}: the manifest ends in the middle of a line")
        try:
            row = ManifestRow.model_validate_json(line)
        except ValidationError as error:
            what = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in what["loc"]) or "the line"
            raise VaultError(f"{path}:{number}: {where}: {what['msg']}") from None
        yield row.model_dump(mode="json")
