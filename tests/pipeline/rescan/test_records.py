"""What is read of the records of rescans, and which are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import EvidenceError
from ingestgate.pipeline.rescan.records import (
    RescanRecord,
    read_rescans,
    rescan_path,
    write_rescan,
)

TIME, ZEROS = "2026-01-01T00:00:00+00:00", "0" * 64
LIST = {"id": "p", "version": 1, "digest": ZEROS, "issued": TIME}
EXCEPTION = {"list_id": "p", "version": 1, "until": TIME, "reason": "r", "signed_by": ["k"]}
SUPPRESSION = {"id": "x", "digest": ZEROS, "made": TIME, "until": TIME, "signed_by": ["k", "l"]}
SHARD = {"ledger": ZEROS, "matched": 0, "held": 0, "context": "c", "suppressions": {"x": 1}}
RECORD = RescanRecord(
    id="r",
    lists=[LIST],
    lists_digest=ZEROS,
    rows=2,
    matched=0,
    shards={"s.tar": SHARD},
    started_at=TIME,
    ended_at=TIME,
    tallies={"released": 1},
    suppressions=[SUPPRESSION],
    exceptions=[EXCEPTION],
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_rescan(str(tmp_path), RECORD)
    assert read_rescans(str(tmp_path)) == [RECORD]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("ended_at", None), ("ended_at", "soon"), ("started_at", "2026-01-01T00:00:00")),
        *(("rows", "two"), ("matched", None), ("tallies", {"released": []}), ("tallies", None)),
        *(("lists", None), ("lists", ["p"]), ("lists", [{**LIST, "version": "one"}])),
        ("lists", [{**LIST, "issued": 5}]),
        *(("shards", {"s.tar": []}), ("shards", {"s.tar": {**SHARD, "matched": None}})),
        ("shards", {"s.tar": {**SHARD, "suppressions": {"x": "1"}}}),
        ("exceptions", [{**EXCEPTION, "until": None}]),
        ("suppressions", [{**SUPPRESSION, "made": "soon"}]),
        ("more", 1),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, name: str, value: Any) -> None:
    write_rescan(str(tmp_path), RECORD)
    path = Path(rescan_path(str(tmp_path), "r"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(EvidenceError, match=r"r\.json: not the record of a rescan; rescan again"):
        read_rescans(str(tmp_path))


def test_a_rescan_vouches_for_the_ledger_and_the_rules_that_it_looked_at() -> None:
    assert RECORD.settles("s.tar", ZEROS, "c")
    for other in (("t.tar", ZEROS, "c"), ("s.tar", "1" * 64, "c"), ("s.tar", ZEROS, "d")):
        assert not RECORD.is_of(*other)
        assert not RECORD.covers(*other)
        assert not RECORD.settles(*other)


@pytest.mark.parametrize(("found", "covers"), [({"matched": 1}, False), ({"held": 1}, True)])
def test_what_a_rescan_found_is_not_settled(found: dict[str, int], covers: bool) -> None:
    record = replace(RECORD, shards={"s.tar": SHARD | found})
    assert record.is_of("s.tar", ZEROS, "c")
    assert record.covers("s.tar", ZEROS, "c") == covers
    assert not record.settles("s.tar", ZEROS, "c")
