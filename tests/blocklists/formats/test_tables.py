"""CSV, JSON Lines and Parquet by a column mapping, and ThreatExchange's CSV."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.formats.mapping import ColumnMapping, parse_mapping
from tests.blocklists.formats.conftest import Reader

MD5 = "0123456789abcdef0123456789abcdef"
COLUMNS = "value=Hash,type=Type,id=Id"


def test_rows_of_one_identifier_are_values_side_by_side(read: Reader) -> None:
    rows = read("csv", f"Id,Type,Hash\n7,md5,{MD5}\n7,MD5,{MD5[::-1]}\n", COLUMNS)
    assert [row.entry_id for row in rows] == ["7", "7"]


def test_columns_of_signal_types_need_no_type(read: Reader) -> None:
    (one,) = read("csv", f'# by us\n\n"A","B"\n"{MD5}",\n', "md5=A,sha1=B")
    assert one.values == (("md5", bytes.fromhex(MD5)),)
    assert one.entry_id.startswith("md5-")


def test_type_for_all_values() -> None:
    assert parse_mapping("value=H", "md5").signal_type == "md5"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"Id,Type,Hash\n7,md5,{MD5[1:]}\n", "line 2, Hash: no md5"),
        (f"Id,Type,Hash\n7,{MD5},md5\n", "line 2, signal type: not the name of one"),
        (f"Id,Type,Hash\n7,,{MD5}\n", "line 2, Type: empty"),
        ("Id,Type,Hash\n7,md5,\n", "line 2, row: no value"),
        (f"Id,Type\n7,{MD5}\n", "line 2, Hash: no such column"),
        (f"Id,Type,Hash\n\n#x\n7,md5,{MD5},\n", "line 4, row: has 4 fields, the header 3"),
        (f'Id,Type,Hash\n7,md5,"{MD5}\n', "line 2, row: not CSV"),
        (f"Id,Id,Hash\n7,md5,{MD5}\n", "line 1, header: a column without a name, or a name"),
        ("Id,Type,Hash\n", ": holds no entry"),
        ("", ": holds no entry"),
        (b"Id,Type,Hash\n7,md5,\xff\n", "line 2, row: not UTF-8"),
        (f"Id,Type,Hash\n7,md5,{'a' * 70000}\n", "line 2, row: longer than 65536 bytes"),
    ],
)
def test_malformed_csv(read: Reader, content: str | bytes, problem: str) -> None:
    assert read.refused("csv", content, COLUMNS, secret=MD5[1:]).startswith(problem)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f'{{"Id": 1, "Type": "md5", "Hash": "{MD5[1:]}"}}', "line 1, Hash: no md5"),
        (f'\n{{"Id": 1, "Type": "md5", "Hash": ["{MD5}"]}}', "line 2, Hash: not text"),
        (f'{{"Id": {{}}, "Type": "md5", "Hash": "{MD5}"}}', "line 1, Id: not text"),
        (f'{{"Id": 1, "Hash": "{MD5}"}}', "line 1, Type: no such column"),
        (f'["{MD5}"]', "line 1: not a JSON object"),
        (f'{{"{MD5}', "line 1: not JSON"),
    ],
)
def test_malformed_jsonl(read: Reader, content: str, problem: str) -> None:
    assert read.refused("jsonl", content, COLUMNS, secret=MD5[1:]).startswith(problem)


def parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_malformed_parquet(read: Reader) -> None:
    whole = parquet(Id=["1", "2"], Type=["md5", "md5"], Hash=[MD5, MD5[1:]])
    refused = read.refused("parquet", whole, COLUMNS, secret=MD5[1:])
    assert refused.startswith("row 2, Hash: no md5")
    assert "not a Parquet file" in read.refused("parquet", whole[:-20], COLUMNS)
    damaged = bytearray(whole)
    damaged[4:40] = b"\xff" * 36
    assert "after row 0: not a Parquet file" in read.refused("parquet", bytes(damaged), COLUMNS)
    assert read.refused("parquet", parquet(Id=["1"]), COLUMNS) == "column Hash: no such column"
    names, hashes = ["Id", "Type", "Hash", "Hash"], [[MD5], [MD5[::-1]]]
    sink = io.BytesIO()
    pq.write_table(pa.table([["1"], ["md5"], *hashes], names), sink)
    twice = read.refused("parquet", sink.getvalue(), COLUMNS, secret=MD5)
    assert twice == "column Hash: there is more than one"
    assert "Hash: not text" in read.refused(
        "parquet", parquet(Id=["1"], Type=["md5"], Hash=[[MD5]]), COLUMNS, secret=MD5
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "wants role=column"),
        ("value", "wants role=column"),
        ("md5=A,md5=B", "each once"),
        ("id=A", "no column for the value"),
        ("value=A", "nothing says of which signal type"),
        ("value=A,type=B,colour=C", "'colour' is neither a signal type nor one of"),
    ],
)
def test_mappings_that_do_not_fit_together(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_mapping(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "not YAML"),
        ("- a", "wants role: column lines"),
        ("", "wants role: column lines"),
        ("md5: 1", "wants role: column lines"),
        ("value: A\ntype: B\ntypes: [x]", "wants role: column lines"),
        ("value: A\ntype: B\ntypes:\n  M: md6", "no signal type 'md6'"),
    ],
)
def test_mapping_files_that_are_none(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        parse_mapping(str(path))


def test_partners_names_of_types() -> None:
    mapping = ColumnMapping({"value": "A", "type": "B"}, {"M": "md5"})
    assert mapping.types == {"M": "md5"}


def halved(name: str) -> str:
    return json.dumps([{"type": "HASH_MD5", "indicator": MD5, name: "x\ud800y"}])


def test_threatexchange_withdrawal_by_identifier_needs_no_indicator(read: Reader) -> None:
    rows = read("threatexchange", f"id,indicator,type,should_delete\n1,,,1\n,{MD5},md5,yes\n")
    assert [(row.tombstone, row.values) for row in rows] == [(True, ()), (True, ())]
    assert rows[0].entry_id == "1"
    assert rows[1].entry_id.startswith("md5-")


@pytest.mark.parametrize(
    ("partners", "value", "known"),
    [
        ("HASH_VIDEO_MD5", MD5, "md5"),
        ("HASH_VIDEO_SHA1", f"{MD5}{MD5[:8]}", "sha1"),
        ("HASH_VIDEO_SHA256", MD5 * 2, "sha256"),
        ("RAW_URI", "https://a.example/x", "url"),
        ("IP_ADDRESS", "192.0.2.7", "domain"),
        ("ipv4-addr", "192.0.2.7", "domain"),
        ("ipv6-addr", "2001:db8::7", "domain"),
        ("IPv4", "192.0.2.7", "domain"),
        ("IPv6", "2001:db8::7", "domain"),
    ],
)
def test_what_threatexchange_and_others_call_the_types(
    read: Reader, partners: str, value: str, known: str
) -> None:
    (one,) = read("threatexchange", f"id,indicator,type\n1,{value},{partners}\n")
    assert [name for name, _ in one.values] == [known]
    assert not read.skipped


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_a_range_of_one_address_is_one(read: Reader, address: str) -> None:
    size = 128 if ":" in address else 32
    content = f"id,indicator,type\n1,{address},IP_ADDRESS\n2,{address}/{size},IP_ADDRESS\n"
    first, second = read("threatexchange", content)
    assert first.values == second.values
    assert not read.skipped


@pytest.mark.parametrize(
    ("partners", "value", "counted"),
    [
        ("IP_ADDRESS", "192.0.2.0/24", "ip_address range"),
        ("IP_ADDRESS", "192.0.2.0-192.0.2.9", "ip_address range"),
        ("IP_ADDRESS", "2001:db8::/32", "ip_address range"),
        ("IP_ADDRESS", "192.0.2.1:8080", "ip_address with port"),
        ("IP_ADDRESS", "[2001:db8::1]:8080", "ip_address with port"),
        ("RAW_URI", "/just/a/path?x=1", "raw_uri that is no url"),
        ("RAW_URI", "evil[.]example/x", "raw_uri that is no url"),
        ("RAW_URI", "https://evil.example/a b.jpg", "raw_uri that is no url"),
    ],
)
def test_what_is_no_single_address_or_url_holds_up_no_hashes(
    read: Reader, partners: str, value: str, counted: str
) -> None:
    content = f"id,indicator,type\n1,{value},{partners}\n2,{MD5},HASH_MD5\n"
    first, second = read("threatexchange", content)
    assert (first.entry_id, first.values, first.unreadable) == ("1", (), (counted,))
    assert second.values == (("md5", bytes.fromhex(MD5)),)
    assert read.skipped == {f"{counted} (no such hash here)": 1}


def test_a_raw_url_that_nobody_meant_is_refused_as_such(read: Reader) -> None:
    content = "id,indicator,type\n1,https://host.example/#!/photo/7,RAW_URI\n"
    assert "only its fragment" in read.refused("threatexchange", content, secret="host.example")


def test_a_malformed_value_is_refused_with_the_option_that_leaves_it_out(read: Reader) -> None:
    option = "; or leave it out, and count it, with --leave-out-malformed SHARE"
    for url in ("https://host.example/a b.jpg", "https://host.example/*"):
        row = f"id,indicator,type,tags\n1,{url},URI,\n"
        assert read.refused("threatexchange", row, secret="host.example").endswith(option)
    row = f"id,indicator,type,tags\n1,{MD5},HASH_MD5,{MD5}\n"
    assert read.refused("threatexchange", row, secret=MD5).endswith(option)


def test_a_hash_of_all_of_a_video_is_no_hash_of_a_picture(read: Reader) -> None:
    read("threatexchange", f"id,indicator,type\n1,{MD5 * 2},HASH_VIDEO_PDQ\n")
    assert read.skipped == {"hash_video_pdq (no such hash here)": 1}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"type,indicator\nHASH_MD5,{MD5[1:]}\n", "line 2, indicator: no md5"),
        (f"type,indicator\n,{MD5}\n", "line 2, type: empty"),
        ("type,indicator\nHASH_MD5,\n", "line 2, indicator: empty"),
        (f'[{{"type": "HASH_MD5", "indicator": "{MD5[1:]}"}}]', "element 1, indicator: no md5"),
        (f'{{"data": [{{"type": "HASH_MD5", "indicator": {{"{MD5}": 1}}}}]}}', "element 1 of data"),
        (f'{{"data": "{MD5}"}}', "data: not an array"),
        (halved("id"), "element 1, entry_id: holds half a character"),
        (halved("tags"), "element 1, category: holds half a character"),
        (halved("status"), "element 1, feedback: holds half a character"),
    ],
)
def test_malformed_threatexchange(read: Reader, content: str, problem: str) -> None:
    assert read.refused("threatexchange", content, secret=MD5[1:]).startswith(problem)


TWO = "https://a.example/1.jpg{}https://b.example/2.jpg"


@pytest.mark.parametrize("between", [" ", "; ", "|"])
def test_several_urls_in_one_field_are_refused(read: Reader, between: str) -> None:
    urls = TWO.format(between)
    indicator = json.dumps([{"type": "URI", "indicator": urls}])
    pattern = {"type": "indicator", "id": "indicator--1", "pattern": f"[url:value = '{urls}']"}
    bundle = json.dumps({"type": "bundle", "objects": [pattern]})
    for refused in (
        read.refused("threatexchange", indicator, secret="example"),
        read.refused("stix", bundle, secret="example"),
        read.refused("csv", f'u,id\n"{urls}",r1\n', "url=u,id=id", secret="example"),
    ):
        assert ": holds several URLs; wants one and nothing else" in refused


@pytest.mark.parametrize("shared", [False, True])
def test_parquet_rows_that_share_a_long_value_are_refused_before_each_has_it(
    read: Reader, shared: bool
) -> None:
    rows = 1024
    notes = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * 20_000])
    content = parquet(Hash=[MD5] * rows, Note=notes if shared else notes.cast(pa.string()))
    assert len(content) < 1 << 18
    refused = read.refused("parquet", content, "md5=Hash,category=Note")
    assert refused == "after row 0: rows longer than any there are"


def test_parquet_rows_share_short_values_of_a_long_dictionary(read: Reader) -> None:
    names = pa.array([f"{number:0200}" for number in range(8_000)])
    content = parquet(Hash=[f"{n:032x}" for n in range(1, 8_001)], Id=names.dictionary_encode())
    found = read("parquet", content, "md5=Hash,id=Id")
    assert [one.entry_id for one in found] == names.to_pylist()


@pytest.mark.parametrize("number", [float("nan"), 1.5, 2.0**53, -(2.0**60), float("inf")])
def test_identifiers_that_tell_no_entries_apart_are_refused(read: Reader, number: float) -> None:
    content = parquet(Hash=[MD5, MD5[::-1]], Id=[7.0, number])
    refused = read.refused("parquet", content, "md5=Hash,id=Id", secret=MD5)
    assert refused.startswith("row 2, Id: not a whole number, or one too large to be told from its")
    if number == 1.5:
        row = {"type": "HASH_MD5", "indicator": MD5, "id": number}
        refused = read.refused("threatexchange", json.dumps([row]), secret=MD5)
        assert refused.startswith("element 1, id: not a whole number")


def test_identifiers_may_be_whole_numbers(read: Reader) -> None:
    content = parquet(Hash=[MD5, MD5[::-1]], Id=pa.array([2.0**53 - 1, None]))
    rows = read("parquet", content, "md5=Hash,id=Id")
    assert rows[0].entry_id == "9007199254740991"
    assert rows[1].entry_id.startswith("md5-")


def test_whole_numbers_are_one_identifier_however_they_are_written(read: Reader) -> None:
    content = (
        f'{{"id": 7, "md5": "{MD5}", "del": false}}\n{{"id": 7.0, "md5": null, "del": true}}\n'
    )
    stated, removed = read("jsonl", content, "md5=md5,id=id,deleted=del")
    assert (stated.entry_id, removed.entry_id, removed.tombstone) == ("7", "7", True)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([2**62], pa.timestamp("us")),
        pa.array([-(2**62)], pa.timestamp("us", "UTC")),
        pa.array([1_767_225_600], pa.timestamp("s", "Orchard/Banana")),
    ],
    ids=lambda times: str(times.type),
)
def test_times_that_are_none(read: Reader, times: pa.Array) -> None:
    content = parquet(Hash=[MD5], At=times)
    refused = read.refused("parquet", content, "md5=Hash,modified=At", secret="Banana")
    assert refused.startswith("after row 0: holds a time that is not within the years 1 to 9999")


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1_767_225_600_123_456], pa.timestamp("us", "UTC")),
        pa.array([1_767_225_600_123_456], pa.timestamp("us")),
        pa.array([1_767_225_600_123_456_789], pa.timestamp("ns", "Europe/Berlin")),
        pa.array([1_767_225_600_123], pa.timestamp("ms")),
        pa.array([1_767_225_600], pa.timestamp("s")),
        pa.array([20_454], pa.date32()),
        pa.array([1_767_225_600_000], pa.date64()),
        pa.array([1_767_225_600]),
    ],
    ids=lambda times: str(times.type),
)
def test_times_as_parquet_has_them(read: Reader, times: pa.Array) -> None:
    content = parquet(Hash=[MD5], At=times)
    (one,) = read("parquet", content, "md5=Hash,modified=At")
    assert one.modified is not None
    assert one.modified // 1_000_000 == 1_767_225_600
    assert read("parquet", parquet(Hash=[MD5], At=pa.nulls(1, times.type)), "md5=Hash,modified=At")


@pytest.mark.parametrize("identifier", ['"#17"', '"# 17, or so"', "18"])
def test_rows_whose_identifier_begins_with_a_hash_sign(read: Reader, identifier: str) -> None:
    content = f"Id,Type,Hash\n# by us\n{identifier},md5,{MD5}\n19,md5,{MD5}\n"
    assert [row.entry_id for row in read("csv", content, COLUMNS)] == [identifier.strip('"'), "19"]
    content = f"id,type,indicator\n{identifier},HASH_MD5,{MD5}\n"
    assert [row.entry_id for row in read("threatexchange", content)] == [identifier.strip('"')]


def test_remarks_that_could_be_rows_are_refused(read: Reader) -> None:
    content = f"Id,Type,Hash\n18,md5,{MD5}\n#17,md5,{MD5}\n"
    assert read.refused("csv", content, COLUMNS, secret=MD5).startswith(
        "line 3, row: begins with # as a remark does, but has the fields of a row"
    )
