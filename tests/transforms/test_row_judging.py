"""The vectorised judging of rows, held against judging the same rows one by one."""

import hashlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestgate.assets.ledger import ledger_schema
from ingestgate.assets.provenance import flatten
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.row_judging import judge_rows
from ingestgate.transforms.settings import open_judge
from tests.pictures import jpeg
from tests.transforms.conftest import LISTED_EXACT

SHARD = Shard("urls.parquet", "/x/urls.parquet", "url-manifest", 10, "id")
MD5 = hashlib.md5(jpeg(LISTED_EXACT), usedforsecurity=False).hexdigest()

URLS = st.sampled_from(
    [None, "", " ", "\0", "https://fine.example/a", "https://LISTED.example", "http://[::bad",
     "http:\\\\a.listed.example\\b", "notlisted.example/x"]
)  # fmt: skip
DIGESTS = st.sampled_from(
    [None, "", "\0", MD5, MD5.upper(), "00" * 15, "zz" * 16, "ab" * 16,
     " ".join(MD5), f"{MD5}\n", f"\u2003{MD5}", f"{MD5[:2]}:{MD5[2:]}"]
)  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "url": URLS,
            "page_url": URLS,
            "md5": DIGESTS,
            "text": st.sampled_from([None, "a caption"]),
            "uid": st.integers(0, 9),
            "urls": st.none() | st.lists(URLS, max_size=3),
            "meta": st.none() | st.fixed_dictionaries({"source_url": URLS}),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    [
        *(("url", pa.string()), ("page_url", pa.large_string()), ("md5", pa.string())),
        *(("text", pa.string()), ("uid", pa.int64()), ("urls", pa.list_(pa.string()))),
        ("meta", pa.struct([("source_url", pa.string())])),
    ]
)


@pytest.mark.parametrize("policy", [Policy(), Policy(require_source=True)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS)
def test_rows_are_judged_as_assets_are(lists: str, policy: Policy, rows: list[dict]) -> None:
    judge = open_judge(policy, lists)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    work = WorkRange(0, 1, 0, 1, first=7)
    judged = judge_rows(policy, judge.lists, SHARD, work, table, ledger_schema(["pdq", "phash"]))
    found = judged.to_pylist()
    assert len(found) == len(rows)
    for number, (row, got) in enumerate(zip(rows, found, strict=True), start=7):
        member = Member(str(number), number, None, Kind.REFERENCE)
        (expected,) = judge.judge(SHARD.name, Sample(str(number), (member,), flatten(row)))
        for name in ("asset_id", "member", "position", "verdict", "tier", "size"):
            assert got[name] == getattr(expected, name), name
        if expected.verdict == "unscannable":
            # Of several reasons, which comes first depends on the order of the columns.
            assert got["reason"] != "clean"
        else:
            assert got["reason"] == expected.reason
        assert sorted(map(repr, got["findings"])) == sorted(
            repr(finding._asdict()) for finding in expected.findings
        )
        assert dict(got["provenance"]) == dict(expected.provenance)


def test_reasons_of_rows(lists: str) -> None:
    judge = open_judge(Policy(), lists)
    table = pa.table(
        {
            "url": ["http://[::bad", "https://fine.example/", None, "https://fine.example/"],
            "md5": [None, "beef", None, None],
        }
    )
    judged = judge_rows(
        Policy(), judge.lists, SHARD, WorkRange(0, 1, 0, 1), table, ledger_schema([])
    )
    assert judged["reason"].to_pylist() == [
        "bad_source",
        "bad_declared_hash",
        "nothing_to_check",
        "clean",
    ]
