"""Flattening records to provenance."""

import datetime
import decimal
import json
import tracemalloc
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.provenance import (
    LOCATION,
    MOST_JSON_BYTES,
    SIDECAR_ERROR,
    Named,
    flatten,
    of_json,
    of_sidecar,
    readable,
)


def test_scalars_become_text_and_nesting_becomes_names() -> None:
    record = {
        "url": "https://example.org/a",
        "width": 3,
        "ratio": 1.5,
        "nsfw": False,
        "exif": {"model": "X", "gps": {"lat": 1}},
        "urls": ["a", {"b": "c"}, ["d"]],
        "nothing": None,
        "bytes": b"\xff",
    }
    assert list(flatten(record).items()) == [
        ("url", "https://example.org/a"),
        ("width", "3"),
        ("ratio", "1.5"),
        ("nsfw", "false"),
        ("exif.model", "X"),
        ("exif.gps.lat", "1"),
        ("urls[0]", "a"),
        ("urls[1].b", "c"),
        ("urls[2][0]", "d"),
    ]


def test_maps_with_text_keys_are_named_as_objects_are() -> None:
    kinds = pa.map_(pa.string(), pa.list_(pa.string()))
    (entries,) = pa.array([[("url", ["a"]), ("url", ["b"]), ("x", None)]], kinds).to_pylist()
    assert flatten({"m": entries}) == {"m.url[0]": "a", "m.url[0][#2]": "b"}
    (numbers,) = pa.array([[(7, "a")]], pa.map_(pa.int64(), pa.string())).to_pylist()
    assert flatten({"m": numbers}) == {"m[0][0]": "7", "m[0][1]": "a"}


def test_times_and_decimals_are_kept_as_text() -> None:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    flat = flatten({"at": moment, "day": moment.date(), "price": decimal.Decimal("1.50")})
    assert flat == {"at": "2024-05-06T07:08:09+00:00", "day": "2024-05-06", "price": "1.50"}


def test_a_name_that_comes_twice_hides_nothing() -> None:
    assert flatten({"a.b": 1, "a": {"b": 2}}) == {"a.b": "1", "a.b[#2]": "2"}
    assert flatten({"a.b": 1, "a": {"b": 1}}) == {"a.b": "1"}


def test_deep_nesting_is_no_recursion() -> None:
    record: dict[str, Any] = {"x": 1}
    for _ in range(2000):
        record = {"x": record}
    assert list(flatten(record).values()) == ["1"]


@pytest.mark.parametrize(
    "record",
    [
        {"a" * 80_000: [1] * 4000},
        {"a" * 80_000: {str(number): 1 for number in range(4000)}},
        {"a": [[]] * 200_000},
        {"a" * 9_000_000: 1},
    ],
)
def test_names_that_would_fill_the_memory_are_not_made(record: dict[str, Any]) -> None:
    tracemalloc.start()
    flat = of_json("a.json", json.dumps(record).encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(flat) == [SIDECAR_ERROR]
    assert "aaa" not in flat[SIDECAR_ERROR]
    assert peak < 64 << 20


def test_many_that_share_a_name_take_no_longer_each() -> None:
    tried = 0

    class Taken(dict[str, str]):
        def __contains__(self, name: object) -> bool:
            nonlocal tried
            tried += 1
            return super().__contains__(name)

    named = Named()
    named.texts = Taken()
    for number in range(2000):
        named.put("a", str(number))
        named.put("a", str(number))
    assert list(named.texts.values()) == [str(number) for number in range(2000)]
    assert tried < 3 * 2000


def test_undecodable_text_is_made_readable() -> None:
    assert readable(b"\xff\xc3\xa9".decode("utf-8", "surrogateescape")) == "\\xffé"
    assert readable("\ud800") == "\\ud800"


@given(st.dictionaries(st.text(), st.text() | st.floats() | st.integers() | st.none()))
def test_every_scalar_fits_an_arrow_column(record: dict[str, Any]) -> None:
    flat = flatten(record)
    assert len(flat) == sum(value is not None for value in record.values())
    pa.array(list(flat.items()), pa.list_(pa.string()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"https://a.example/x\n", "https://a.example/x"),
        (b"https://a.example/x\nhttps://b.example/y", "https://a.example/x\nhttps://b.example/y"),
        (
            b"\xef\xbb\xbf[InternetShortcut]\r\nURL=https://a.example/x\r\nIconIndex=0\r\n",
            "https://a.example/x",
        ),
        (
            b"[DEFAULT]\nBASEURL=https://b.example/\n[InternetShortcut]\nurl = https://a.example/\n",
            "https://b.example/ https://a.example/",
        ),
        (b" \n", None),
    ],
)
def test_a_file_of_a_url_says_where_its_asset_lies(content: bytes, said: str | None) -> None:
    assert of_sidecar("d/a.URL", content) == ({} if said is None else {LOCATION: said})


def test_what_a_sidecar_says_goes_by_its_last_suffix() -> None:
    assert of_sidecar("a.meta.JSON", b'{"url": "u"}') == {"url": "u"}
    assert of_sidecar("a.json.txt", b'{"url": "u"}') == {}
    assert list(of_sidecar("a.url", b"x" * 70_000)) == [SIDECAR_ERROR]


def test_a_json_sidecar_is_not_parsed_beyond_a_size() -> None:
    record = b'{"url": "https://fine.example/"' + b" " * MOST_JSON_BYTES
    assert of_json("a.json", record[: MOST_JSON_BYTES - 1] + b"}") == {
        "url": "https://fine.example/"
    }
    assert of_json("a.json", record[:MOST_JSON_BYTES] + b"}") == {
        SIDECAR_ERROR: "a.json: more than 8 MiB"
    }
