import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.columns import (
    decode_hex,
    decode_hex_value,
    rows_saying_source,
    source_hosts,
)
from ingestgate.blocklists.sources import (
    BadSource,
    canonical_host,
    is_absent,
    parse_source,
    says_source,
)

HEX = "00ff10aB"
SPACE = "".join(filter(str.isspace, map(chr, range(0x110000))))


def test_hex_in_either_case_with_absent_and_bad_rows() -> None:
    column = pa.array(
        [HEX, None, "", "  ", HEX.upper(), HEX[:-1], HEX + "0", "zz" * 4, "é" * 4, " " + HEX[1:]]
    )
    decoded = decode_hex(column, 4)
    assert [value.tobytes().hex() for value in decoded.values] == [HEX.lower()] * 2
    assert decoded.rows.tolist() == [0, 4]
    assert decoded.bad.tolist() == [5, 6, 7, 8, 9]


def test_white_space_in_hex_says_nothing() -> None:
    texts = [f"{space}{HEX[:1]}{space}{HEX[1:6]}{space}{HEX[6:]}{space}" for space in SPACE]
    decoded = decode_hex(pa.array(texts), 4)
    assert {value.tobytes().hex() for value in decoded.values} == {HEX.lower()}
    assert decoded.rows.tolist() == list(range(len(SPACE)))
    # No more than white space: what looks like a separator may be another notation.
    others = [":".join([HEX[:4], HEX[4:]]), f"0x{HEX}", HEX + "\0", HEX + "\u200b", "\u2003" * 8]
    assert decode_hex(pa.array(others), 4).bad.tolist() == [0, 1, 2, 3, 4]


@given(
    st.lists(
        st.none()
        | st.text("09afAFgZé:\0" + SPACE, max_size=6)
        | st.text("09aF \t\u3000", max_size=6)
        | st.binary(min_size=2, max_size=2).map(bytes.hex)
    )
)
def test_decode_hex_equals_decoding_one_by_one(texts: list[str | None]) -> None:
    decoded = decode_hex(pa.array(texts, pa.string()), 2)
    good = {
        i: bytes.fromhex("".join(t.split()))
        for i, t in enumerate(texts)
        if t and re.fullmatch("[0-9a-fA-F]{4}", "".join(t.split()))
    }
    found = zip(decoded.rows.tolist(), decoded.values, strict=True)
    assert {row: value.tobytes() for row, value in found} == good
    absent = {i for i, text in enumerate(texts) if is_absent(text)}
    assert decoded.bad.tolist() == sorted(set(range(len(texts))) - set(good) - absent)
    one_by_one = {i: value for i, t in enumerate(texts) if t and (value := decode_hex_value(t, 2))}
    assert one_by_one == good


@given(st.lists(st.none() | st.text("aZ9+.:/\\ \n\0é|", max_size=8)))
def test_texts_that_say_that_they_are_sources_are_told_as_one_by_one(
    texts: list[str | None],
) -> None:
    texts += ["s3://a", "a b //c", "//a", "\n //a", "see http:\\\\a", "1://a", "a:/b", None]
    expected = [row for row, text in enumerate(texts) if text is not None and says_source(text)]
    assert rows_saying_source(pa.array(texts, pa.string())).tolist() == expected
    assert [says_source(text) for text in texts[-8:-1] if text is not None] == [
        *(True, False, True, True, True, False, False)
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_kinds_of_text(kind: pa.DataType) -> None:
    array = pa.array([None, HEX, HEX], pa.string()).cast(kind)
    sliced = array.slice(1)
    chunked = pa.chunked_array([array, array])
    assert decode_hex(array, 4).rows.tolist() == [1, 2]
    assert decode_hex(sliced, 4).rows.tolist() == [0, 1]
    assert decode_hex(chunked, 4).rows.tolist() == [1, 2, 4, 5]


def test_dictionary_null_and_empty_columns() -> None:
    assert decode_hex(pa.array([HEX, None, HEX]).dictionary_encode(), 4).rows.tolist() == [0, 2]
    assert len(decode_hex(pa.nulls(3), 4).bad) == 0
    assert decode_hex(pa.array([], pa.string()), 4).values.shape == (0, 4)
    assert source_hosts(pa.array([], pa.string())).hosts == []


def test_other_columns_are_refused() -> None:
    with pytest.raises(UsageError, match="a column of int64, where text is wanted"):
        decode_hex(pa.array([1]), 4)
    with pytest.raises(UsageError, match="a column of binary, where text is wanted"):
        source_hosts(pa.array([b"x"]))


def test_each_host_comes_once() -> None:
    split = source_hosts(
        pa.array(
            ["http://a.com/x", "https://a.com:80", " ", None, "HTTP://b.com?q", "\thttp://c.com"]
        )
    )
    assert split.hosts == ["a.com", "b.com"]
    assert split.rows.tolist() == [0, 1, 4]
    assert split.host_of_row.tolist() == [0, 0, 1]
    assert split.others.tolist() == [5]


@pytest.mark.parametrize(
    "text",
    [
        "http://good.com@bad.com/",
        "http://good.com:80@bad.com/",
        "http://good.com\t.bad.com/",
        "http://good.com\n",
        "http://good.com\\x",
        "http://good.com:99999/",
        "http://good.com%2ebad.com/",
        "http://good.com\u3002bad.com/",
        "http:/good.com/",
        "ftp://good.com/",
        "good.com/",
        "http://localhost/",
    ],
)
def test_what_is_not_plain_is_parsed_whole(text: str) -> None:
    assert source_hosts(pa.array([text])).others.tolist() == [0]


pieces = st.sampled_from(
    [
        "http",
        "https",
        ":",
        "//",
        "a.com",
        ".",
        "b",
        "@",
        "\\",
        "/",
        "?",
        "#",
        "%41",
        ":80",
        "\t",
        "1.2",
        "xn--a",
    ]
)


@given(st.lists(pieces, max_size=9).map("".join))
def test_a_cut_out_host_is_the_parsed_one(text: str) -> None:
    split = source_hosts(pa.array([text]))
    if not split.hosts:
        assert np.array_equal(split.others, [] if is_absent(text) else [0])
        return
    try:
        expected = parse_source(text).host
    except BadSource:
        with pytest.raises(BadSource):
            canonical_host(split.hosts[0])
    else:
        assert canonical_host(split.hosts[0]) == expected
