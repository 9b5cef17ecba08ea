"""Which recorded training runs have read a recalled shard."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.recalling import open_recalls

_FIELDS = ("run", "dataset", "shard", "sha256", "time")


def read_consumers(path: str) -> Iterator[dict[str, str]]:
    """Yields the recorded reads of a CSV (with a header) or JSONL file.

    Raises:
        UsageError: A record names no run, or neither a shard nor its digest.
    """
    lines = storage.read_bytes(path).decode("utf-8-sig", "replace").splitlines()
    records: Iterator[Mapping[str, Any]] = iter(csv.DictReader(lines))
    if lines and lines[0].lstrip().startswith("{"):
        records = (_parsed(path, number, line) for number, line in enumerate(lines) if line.strip())
    for number, record in enumerate(records, 1):
        found = {name: str(record.get(name) or "").strip() for name in _FIELDS}
        if not found["run"] or not (found["shard"] or found["sha256"]):
            raise UsageError(
                f"{path}: record {number} needs `run`, and `shard` or `sha256`; "
                f"the fields are {', '.join(_FIELDS)}"
            )
        yield found


def _parsed(path: str, number: int, line: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise UsageError(f"{path}:{number + 1}: not a JSON object")
    return record


def consumers_of(path: str, evidence: Sequence[str]) -> list[dict[str, str]]:
    """Returns the recorded reads of shards that open notices name: by digest, else by name.

    Where a digest is recorded it decides: the same name may stand for other bytes.
    """
    names: dict[str, str] = {}
    digests: dict[str, str] = {}
    for folder in evidence:
        for recall in open_recalls(folder):
            for shard in recall.notice.shards:
                names[str(shard["name"])] = recall.id
                digests[str(shard["sha256"])] = recall.id
    found = []
    for one in read_consumers(path):
        recall_id = digests.get(one["sha256"]) if one["sha256"] else names.get(one["shard"])
        if recall_id:
            found.append({**one, "recall": recall_id})
    return found
