"""The vectorised judging of rows, held against judging the same rows one by one."""

import base64
import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestgate.assets.containers.container import ReadOptions, SampleContainer
from ingestgate.assets.containers.image_folder import ImageFolder
from ingestgate.assets.containers.img2dataset import Img2Dataset
from ingestgate.assets.containers.parquet import ParquetImages
from ingestgate.assets.containers.url_manifest import UrlManifest
from ingestgate.assets.errors import ShardError
from ingestgate.assets.ledger import ledger_schema
from ingestgate.assets.provenance import flatten
from ingestgate.assets.shard import Kind, Member, Sample, Shard, WorkRange, asset_id
from ingestgate.transforms import long_lists, row_judging
from ingestgate.transforms.earlier_matches import EarlierMatches
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.row_judging import judge_rows
from ingestgate.transforms.settings import open_judge
from tests.archives import make_tar, write_shard
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
LIKELY = URLS | st.sampled_from(
    ["3", "true", "a caption", "listed.example", "//a.listed.example/b", " //[::bad", "x/y",
     "see https://listed.example/c", "\n//\n", "s3://", "a:b//c"]
)  # fmt: skip
IMAGES = st.none() | st.fixed_dictionaries(
    {
        "url": URLS,
        "copies": st.none() | st.lists(st.fixed_dictionaries({"page_url": URLS}), max_size=2),
    }
)
IMAGE = pa.struct(
    [("url", pa.string()), ("copies", pa.list_(pa.struct([("page_url", pa.string())])))]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "url": URLS,
            "page_url": URLS,
            "url_o": LIKELY,
            "links_there": st.none() | st.lists(LIKELY, max_size=3),
            "md5": DIGESTS,
            "text": st.sampled_from([None, "a caption"]),
            "uid": st.integers(0, 9),
            "urls": st.none() | st.lists(URLS, max_size=3),
            "images": st.none() | st.lists(IMAGES, max_size=2),
            "grid": st.none() | st.lists(st.none() | st.lists(URLS, max_size=2), max_size=2),
            "pair_url": st.none() | st.lists(URLS, min_size=2, max_size=2),
            "view_url": st.none() | st.lists(URLS, max_size=2),
            "more": st.none()
            | st.lists(st.tuples(st.sampled_from(["url", "x"]), URLS), max_size=2),
            "meta": st.none() | st.fixed_dictionaries({"source_url": URLS}),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    [
        *(("url", pa.string()), ("page_url", pa.large_string()), ("md5", pa.string())),
        *(("text", pa.string()), ("uid", pa.int64()), ("urls", pa.list_(pa.string()))),
        *(("images", pa.list_(IMAGE)), ("grid", pa.list_(pa.list_(pa.string())))),
        *(("url_o", pa.string()), ("links_there", pa.list_(pa.large_string()))),
        *(("pair_url", pa.list_(pa.string(), 2)), ("view_url", pa.list_view(pa.string()))),
        ("more", pa.map_(pa.string(), pa.string())),
        ("meta", pa.struct([("source_url", pa.string())])),
    ]
)


@pytest.mark.parametrize("policy", [Policy(), Policy(require_source=True)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS)
def test_rows_are_judged_as_assets_are(
    lists: str, policy: Policy, rows: list[dict[str, Any]]
) -> None:
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


def judged(lists: str, table: pa.Table) -> pa.Table:
    judge = open_judge(Policy(), lists)
    work = WorkRange(0, 1, 0, 1)
    return judge_rows(Policy(), judge.lists, SHARD, work, table, ledger_schema([]))


def test_rows_with_more_in_lists_than_fits_are_refused_before_anything_is_made_of_them(
    lists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"tags": pa.array([["a"] * 7], pa.list_(pa.string()))})
    judged(lists, table)
    monkeypatch.setattr(long_lists, "_MOST_ITEMS", 6)
    with pytest.raises(ShardError, match="lists in a range of its rows hold 7 items"):
        judged(lists, table)


def test_listed_sources_are_found_however_they_are_nested(lists: str) -> None:
    judge = open_judge(Policy(), lists)
    listed, name = "https://listed.example/b", pa.string()
    url = pa.struct([("url", name)])
    nested = {
        "list of structs": pa.array([[{"url": listed}]], pa.list_(url)),
        "list of lists": pa.array([[[{"url": listed}]]], pa.list_(pa.list_(url))),
        "fixed-size list": pa.array([[{"url": listed}]], pa.list_(url, 1)),
        "map": pa.array([[("url", listed)]], pa.map_(name, name)),
        "map of structs": pa.array([[("a", {"url": listed})]], pa.map_(name, url)),
    }
    for kind, column in nested.items():
        table = pa.table({"page_url": ["https://fine.example/"], "images": column})
        judged = judge_rows(
            Policy(), judge.lists, SHARD, WorkRange(0, 1, 0, 1), table, ledger_schema([])
        )
        assert judged["reason"].to_pylist() == ["matched"], kind
        assert listed in dict(judged["provenance"].to_pylist()[0]).values(), kind


def test_nested_raw_digests_are_checked_and_what_has_no_text_is_held(lists: str) -> None:
    judge = open_judge(Policy(), lists)
    image = pa.struct([("md5", pa.binary(16))])
    raw = pa.array([[{"md5": bytes.fromhex(MD5)}], None], pa.list_(image))
    offsets = pa.array([0, 1, 1], pa.int32())
    wrong = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    undecodable = pa.ListArray.from_arrays(offsets, pa.ListArray.from_arrays(offsets[:2], wrong))
    fine = ["https://fine.example/"] * 2
    held = ["unsupported_media", "clean"]
    for column, reasons in ((raw, ["matched", "clean"]), (undecodable, held)):
        table = pa.table({"page_url": fine, "more": column})
        judged = judge_rows(
            Policy(), judge.lists, SHARD, WorkRange(0, 1, 0, 1), table, ledger_schema([])
        )
        assert judged["reason"].to_pylist() == reasons


def test_readers_agree_on_raw_digests_at_any_depth(lists: str, tmp_path: Path) -> None:
    raw = bytes.fromhex(MD5)
    kind = pa.binary(16)
    image = pa.struct([("md5", kind)])
    row = {
        "md5": pa.array([raw], kind),
        "meta": pa.array([{"md5": raw}], image),
        "images": pa.array([[{"md5": raw}]], pa.list_(image)),
        "more": pa.array([[("md5", raw)]], pa.map_(pa.string(), kind)),
    }
    said = {"md5", "meta.md5", "images[0].md5", "more.md5"}

    def shard(path: str, also: dict[str, Any], *parts: str) -> Shard:
        where = tmp_path / path
        where.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(row | also), where)
        return Shard(path, str(where), "", where.stat().st_size, "id", parts)

    shard("folder/metadata.parquet", {"file_name": ["a.jpg"]})
    (tmp_path / "folder/a.jpg").write_bytes(jpeg(0))
    folder = Shard("folder", str(tmp_path / "folder"), "folder", 0, "id")
    rows = shard("rows.parquet", {"key": ["a"], "status": ["success"]})
    tar = write_shard(tmp_path, make_tar([("a.jpg", jpeg(0))]), "rows.tar")
    readers: list[tuple[SampleContainer, Shard]] = [
        (ImageFolder(), folder),
        (Img2Dataset(), tar._replace(parts=(rows.path,))),
        (ParquetImages(), shard("pictures.parquet", {"image": [jpeg(0)]})),
    ]
    for reader, source in readers:
        (work,) = reader.cut(source, ReadOptions())
        (sample,) = reader.read(source, work, ReadOptions())
        found = {name for name, text in sample.provenance.items() if text == MD5}
        assert found == said, reader.name
    (work,) = UrlManifest().cut(rows, ReadOptions())
    manifest = judged(lists, UrlManifest().read_rows(rows, work))
    assert set(manifest["provenance"].to_pylist()[0]) >= {(name, MD5) for name in said}


def test_a_row_with_more_values_than_it_may_have_is_held(lists: str) -> None:
    judge = open_judge(Policy(), lists)
    table = pa.table({"page_url": ["https://fine.example/"] * 2, "more": [[[1] * 100_001], [[1]]]})
    judged = judge_rows(
        Policy(), judge.lists, SHARD, WorkRange(0, 1, 0, 1), table, ledger_schema([])
    )
    assert judged["reason"].to_pylist() == ["bad_sidecar", "clean"]


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary_view()])
def test_raw_digests_of_any_binary_kind_are_checked(lists: str, kind: pa.DataType) -> None:
    table = pa.table({"md5": pa.array([bytes.fromhex(MD5)], kind)})
    assert judged(lists, table)["reason"].to_pylist() == ["matched"]


def test_a_column_without_text_fails_its_shard(lists: str) -> None:
    interval = pa.array([pa.MonthDayNano([1, 2, 3])])
    table = pa.table({"page_url": ["https://fine.example/"], "more": interval})
    with pytest.raises(ShardError, match=r"a column that cannot be read as text \(Arrow"):
        judged(lists, table)


def test_items_of_a_list_that_is_null_move_no_match(lists: str) -> None:
    items = pa.array(["https://fine.example/", "https://fine.example/", "https://listed.example/"])
    validity = pa.array([False, True]).buffers()[1]
    offsets = pa.array([0, 2, 3], pa.int32()).buffers()[1]
    urls = pa.Array.from_buffers(pa.list_(pa.string()), 2, [validity, offsets], children=[items])
    table = pa.table({"page_url": ["https://fine.example/"] * 2, "urls": urls})
    found = judged(lists, table)
    assert found["reason"].to_pylist() == ["clean", "matched"]
    assert [len(row) for row in found["provenance"].to_pylist()] == [1, 2]


def test_names_that_would_fill_the_memory_fail_their_shard(
    lists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_judging, "_MOST_NAMES", 1 << 20)
    urls = pa.array([["https://fine.example/"] * 1000], pa.list_(pa.string()))
    assert judged(lists, pa.table({"page_url": urls}))["reason"].to_pylist() == ["clean"]
    tracemalloc.start()
    with pytest.raises(ShardError, match="names of columns take more than 1 MiB in range 0"):
        judged(lists, pa.table({"k" * 20_000 + "_url": urls}))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_name_that_carries_a_picture_fails_its_shard(lists: str) -> None:
    """As the first line of a CSV may have: the reader passes on whatever it calls its columns."""
    carrying = base64.b64encode(jpeg(LISTED_EXACT)).decode()
    table = pa.table({"url": ["https://fine.example/"], carrying: ["x"]})
    with pytest.raises(ShardError, match="the name of a column carries a picture"):
        judged(lists, table)


_CONTENT = jpeg(LISTED_EXACT)
_TEXT = base64.b64encode(_CONTENT).decode()


@pytest.mark.parametrize(
    ("kind", "carrying", "plain"),
    [
        (pa.string(), _TEXT, "x"),
        (pa.list_(pa.string()), ["x", _TEXT], ["x", "y", "z"]),
        (pa.list_(pa.uint8()), [*_CONTENT], [1, 2]),
        (pa.list_(pa.list_(pa.uint8())), [[1], [*_CONTENT]], [[1], [2]]),
        (pa.struct([("a", pa.list_(pa.string()))]), {"a": ["x", _TEXT]}, {"a": ["x", "y"]}),
    ],
    ids=["text", "texts", "numbers", "nested-numbers", "struct"],
)
def test_it_is_the_row_that_carries_a_picture_that_is_held(
    lists: str, kind: pa.DataType, carrying: Any, plain: Any
) -> None:
    """Whatever stands before it: rows without a value, and with several."""
    values = [None, plain, None, carrying, plain]
    table = pa.table({"url": ["https://fine.example/"] * 5, "more": pa.array(values, kind)})
    reasons = judged(lists, table)["reason"].to_pylist()
    assert reasons == ["clean", "clean", "clean", "unsupported_media", "clean"]


def test_what_matches_now_is_not_called_matched_before(lists: str) -> None:
    finding = {"list_id": "gone", "list_version": 1, "entry_id": "e", "category": ""}
    finding |= {"signal_type": "domain", "kind": "source", "view": "url", "distance": 0}
    finding |= {"threshold": 0, "action": "quarantine", "feedback": ""}
    urls = ["https://listed.example/", "https://fine.example/", "https://other.example/"]
    rows = [
        {
            "asset_id": asset_id(SHARD.name, str(number)),
            "member": str(number),
            "reason": "matched",
            "sha256": None,
            "provenance": {"url": urls[number]},
            "findings": [finding],
        }
        for number in (0, 1)
    ]
    judge = open_judge(Policy(), lists)
    found = judge_rows(
        *(Policy(), judge.lists, SHARD, WorkRange(0, 1, 0, 1), pa.table({"url": urls})),
        *(ledger_schema([]), EarlierMatches(rows)),
    )
    assert found["reason"].to_pylist() == ["matched", "matched_before", "clean"]
    named = [[one["list_id"] for one in row] for row in found["findings"].to_pylist()]
    assert named == [["exact"], ["gone"], []]


def test_names_that_come_twice_hide_nothing(lists: str) -> None:
    judge = open_judge(Policy(), lists)
    for order in (1, -1):
        columns = {"a": pa.array([{"url": "https://listed.example/"}])}
        columns["a.url"] = pa.array(["https://fine.example/"])
        table = pa.table(dict(list(columns.items())[::order]))
        judged = judge_rows(
            Policy(), judge.lists, SHARD, WorkRange(0, 1, 0, 1), table, ledger_schema([])
        )
        assert judged["reason"].to_pylist() == ["matched"]


def test_columns_that_may_hold_sources_hold_a_row_only_for_what_says_so(lists: str) -> None:
    table = pa.table(
        {
            "url_count": pa.array([1, 2, 3, 4, 5, None, 7, 8]),
            "hyperlink": [
                *("https://fine.example/", "https://listed.example/b", "http://[::bad"),
                *("a caption", "listed.example", None, "//listed.example/", "https:// "),
            ],
            "md5": ["ab" * 16] * 7 + [None],
        }
    )
    assert judged(lists, table)["reason"].to_pylist() == [
        *("clean", "matched", "bad_source", "clean", "matched", "clean", "matched", "bad_source")
    ]
    alone = judged(lists, table.select(["url_count", "hyperlink"]))["reason"].to_pylist()
    assert alone[3] == alone[5] == "nothing_to_check"


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
