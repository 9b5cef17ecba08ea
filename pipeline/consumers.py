"""Which recorded training runs have read a recalled shard."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import StorageError, UsageError
from ingestgate.assets.provenance import readable
from ingestgate.pipeline.recalling import Recall, recalls

_FIELDS = ("run", "dataset", "shard", "sha256", "time")
_SHA256 = re.compile("[0-9a-f]{64}")


def read_consumers(path: str) -> Iterator[dict[str, str]]:
    """Yields the recorded reads of a CSV (with a header) or JSONL file.

    Raises:
        UsageError: A record names no run, or neither a shard nor its digest, or a digest is none;
            or it cannot be read.
    """
    text = storage.read_bytes(path).decode("utf-8-sig", "replace")
    records = _json_lines(path, text) if text.lstrip().startswith("{") else _csv(path, text)
    for number, record in enumerate(records, 1):
        found = {name: readable(str(record.get(name) or "").strip()) for name in _FIELDS}
        found["sha256"] = found["sha256"].lower().removeprefix("sha256:")
        if found["sha256"] and not _SHA256.fullmatch(found["sha256"]):
            raise UsageError(f"{path}: record {number}: `sha256` is not one, 64 hex digits")
        if not found["run"] or not (found["shard"] or found["sha256"]):
            raise UsageError(
                f"{path}: record {number} needs `run`, and `shard` or `sha256`; "
                f"the fields are {', '.join(_FIELDS)}"
            )
        yield found


def _csv(path: str, text: str) -> Iterator[Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        yield from reader
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num + 1}: not CSV: {error}") from None


def _json_lines(path: str, text: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            yield _parsed(path, number, line)


def _parsed(path: str, number: int, line: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise UsageError(f"{path}:{number + 1}: not a JSON object")
    return record


@dataclass(frozen=True, slots=True)
class _Recalled:
    """An admitted file that a notice names, with the recall."""

    recall: Recall
    name: str
    sha256: str

    def is_read_by(self, record: Mapping[str, str], datasets: Set[str]) -> bool:
        """Whether a record is of it: by the digest where that is recorded, else by the name."""
        if record["sha256"]:
            return record["sha256"] == self.sha256
        dataset = self.recall.notice.dataset
        # A name for the dataset that is of none of those that are known excludes none.
        if datasets and dataset not in datasets:
            return False
        return _lies_in(self.name, record["shard"]) and not self._is_later(record["time"])

    def _is_later(self, time: str) -> bool:
        """Whether other bytes are known to have been there by then."""
        closed_at = self.recall.closed_at
        try:
            read_at = datetime.fromisoformat(time)
        except ValueError:
            return False
        if read_at.tzinfo is None:
            read_at = read_at.replace(tzinfo=UTC)
        return closed_at is not None and read_at > closed_at


def consumers_of(path: str, evidence: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the recorded reads of shards that notices name, and in ``recalls`` by which.

    Notices that are closed count as well: who has read a shard before it was mended has read it.
    """
    recalled = [
        _Recalled(recall, name, str(entry["sha256"]))
        for folder in evidence
        for recall in recalls(folder)
        for entry in recall.notice.shards
        for name in {str(entry["name"]), str(entry.get("shard", entry["name"]))}
    ]
    known = {one.recall.notice.dataset for one in recalled}
    known |= {output for folder in evidence if (output := _output(folder))}
    found = []
    for record in read_consumers(path):
        named = record["dataset"]
        datasets = {each for each in known if named and _lies_in(named, each)}
        datasets |= {each for each in known if named and _lies_in(each, named)}
        by = {one.recall.id for one in recalled if one.is_read_by(record, datasets)}
        if by:
            found.append({**record, "recalls": sorted(by)})
    return found


def _output(evidence: str) -> str:
    """Returns where the output of an evidence folder lies, by its last report; "" if none says."""
    try:
        report = json.loads(storage.read_bytes(storage.join(evidence, "report.json")))
        return shown(str(report["paths"]["output"]))
    except (StorageError, ValueError, KeyError, TypeError):
        return ""


def _lies_in(name: str, path: str) -> bool:
    """Whether a path is some other, ends with it, or goes through it: an image in a folder."""
    return f"/{_plain(name)}/" in f"/{_plain(path)}/"


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))
