import re
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.blocklists.source_texts import (
    NEXT_SOURCE,
    SEVERAL,
    possible_sources,
    split_sources,
)
from ingestgate.blocklists.sources import BadSource, parse_source

BETWEEN = [
    *(" ", "\n", "\t", ",", ", ", "|", " | ", ";", "\0", ",,", "\x1f", "\x7f", "\x85", "\xa0"),
    *("\u3000", "\u2028", "\u200b", "\ufeff", "\u2060", "\xad", "\uff0c", "\u3001", "\uff1b"),
    *("\uff5c", "\u060c", " (", " <", ', "', ", '", "\n[", ' (["', " \u201c"),
]


@pytest.mark.parametrize("between", BETWEEN)
def test_several_sources_in_one_text_are_told_apart(between: str) -> None:
    parts = ["http://a.com/x", "HTTPS://b.com", "s3:\\\\c"]
    text = between.join(parts)
    assert split_sources(text) == parts
    assert pc.match_substring_regex(pa.scalar(text), NEXT_SOURCE).as_py()


@pytest.mark.parametrize(
    "text",
    [
        "http://a.com/my picture, the second; or third|fourth.jpg",
        "http://a.com/http://b.com/x",
        "http://a.com/?u=https://b.com/x",
        "http://a.com/w_100/https://b.com/x",
        "a.com",
        "",
    ],
)
def test_one_source_is_one(text: str) -> None:
    assert split_sources(text) == [text]


def test_more_sources_than_there_may_be_are_bad() -> None:
    assert len(split_sources("http://a.com " * 999 + "x")) == 999
    with pytest.raises(BadSource, match="more than 1000"):
        split_sources("http://a.com " * 1001)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "b:",
                "://",
                "//",
                "http://",
                "s3:\\\\",
                " ",
                "\t",
                "\0",
                ",",
                "(",
                '"',
                "\u3000",
                "|",
                "1",
                ".",
                "é",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_runs_between_sources_are_found_however_they_are_looked_for(text: str) -> None:
    simply = re.split(r"[\x00-\x20|,\u3000]+[(\"]*(?=[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2})", text)
    assert split_sources(text) == simply
    assert pc.match_substring_regex(pa.scalar(text), NEXT_SOURCE).as_py() == (len(simply) > 1)


@pytest.mark.parametrize("between", [" ", ",;|", ", (", "(["])
def test_runs_of_what_is_between_sources_are_looked_at_once(between: str) -> None:
    text = "http://a.com/" + between * 400_000 + "x"
    assert split_sources(text) == [text]


def test_a_text_of_several_sources_may_be_one_itself() -> None:
    text = "https://a.com/?urls=http://b.com/1,http://c.com/2"
    assert possible_sources(text) == ["https://a.com/?urls=http://b.com/1", "http://c.com/2", text]
    assert possible_sources("http://a.com http://b.com/") == ["http://a.com", "http://b.com/"]
    assert possible_sources("http://a.com") == ["http://a.com"]


@pytest.mark.parametrize(
    "text",
    [
        "http://a.com/1 (http://b.com/2)",
        "['http://a.com/1', 'http://b.com/2']",
        '[ "http://a.com/1",\n"http://b.com/2" ]',
        "<http://a.com/1>, <http://b.com/2>,",
        "\u300chttp://a.com/1\u300d\u3001\u300chttp://b.com/2\u300d",
    ],
)
def test_what_stands_around_sources_is_no_part_of_them(text: str) -> None:
    assert {"http://a.com/1", "http://b.com/2"} <= set(possible_sources(text))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://x.example/1.jpg https://[2001:db8::1]", "https://[2001:db8::1]"),
        ('["https://x.example/1.jpg", "https://[2001:db8::1]"]', "https://[2001:db8::1]"),
        ("https://[2001:db8::1], https://x.example/1.jpg", "https://[2001:db8::1]"),
        ("[2001:db8::1] https://x.example/1.jpg", "[2001:db8::1]"),
        ("[2001:db8::1]/1.jpg https://x.example/1.jpg", "[2001:db8::1]/1.jpg"),
    ],
)
def test_brackets_of_an_address_do_not_stand_around_it(text: str, source: str) -> None:
    found = possible_sources(text)
    assert source in found
    for one in found:
        parse_source(one)  # none is bad


def test_a_source_that_is_none_with_its_brackets_or_without_stays_bad() -> None:
    for bad in ("https://[2001:db8::1", "https://[2001:db8::x]"):
        assert bad.rstrip("]") in possible_sources(f"https://x.example/1.jpg {bad}")


def test_what_stands_around_a_source_may_be_a_part_of_it() -> None:
    assert possible_sources("http://a.com/,http://b.com/(2)")[1:] == [
        "http://b.com/(2",
        "http://a.com/,http://b.com/(2)",
        "http://b.com/(2)",
    ]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("http://good.example\\@bad.example/1.jpg", ["good.example", "bad.example"]),
        ("HTTPS:/\\u:p@good.example:80\\x\\y@bad.example:81", ["good.example", "bad.example"]),
        ("good.example\\@bad.example/1.jpg", ["good.example", "bad.example"]),
        ("good.example:80\\@bad.example", ["good.example", "bad.example"]),
        ("s3://good.example\\@bad.example?x", ["good.example", "bad.example"]),
        ("http://good.example\\@u@bad.example", ["good.example", "bad.example"]),
        ("http://good.example\\@", ["good.example"]),
        ("http://good.example/\\@bad.example", ["good.example"]),
        ("http://good.example?\\@bad.example", ["good.example"]),
        ("http://u@good.example\\bad.example", ["good.example"]),
        ("http:\\\\u@good.example", ["good.example"]),
    ],
)
def test_a_backslash_before_an_at_sign_is_read_in_both_ways(text: str, hosts: list[str]) -> None:
    found = []
    for one in possible_sources(text):
        with suppress(BadSource):
            found.append(parse_source(one).host)
    assert found == hosts
    assert len(hosts) == 1 or pc.match_substring_regex(pa.scalar(text), SEVERAL).as_py()


def test_each_of_several_is_read_in_both_ways() -> None:
    text = "http://a.com, http://good.example\\@bad.example/"
    hosts = [parse_source(one).host for one in possible_sources(text)]
    assert hosts == ["a.com", "good.example", "bad.example"]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("http://fa\u00df.example/stra\u00dfe", ["xn--fa-hia.example", "fass.example"]),
        ("u@FA\u1e9e.example:80?x", ["xn--fa-hia.example", "fass.example"]),
        ("fa\u00df.example:80/x", ["xn--fa-hia.example", "fass.example"]),
        ("http://fa%C3%9f.example#x", ["xn--fa-hia.example", "fass.example"]),
        ("s3://fa%e1%BA%9e.example/x", ["xn--fa-hia.example", "fass.example"]),
        (
            "http://\u03b2\u03cc\u03bb\u03bf\u03c2.example",
            ["xn--nxasmm1c.example", "xn--nxasmq6b.example"],
        ),
        (
            "http://\u03b2\u03cc\u03bb\u03bf%CF%82.example",
            ["xn--nxasmm1c.example", "xn--nxasmq6b.example"],
        ),
        ("http://a\u200db.example", ["ab.example"]),
        ("http://a%E2%80%8cb.example", ["ab.example"]),
        (
            "http://fa\u00df.example\\@fu\u00df.example/",
            ["xn--fa-hia.example", "fass.example", "xn--fu-hia.example", "fuss.example"],
        ),
        ("http://xn--fa-hia.example/\u00df", ["xn--fa-hia.example"]),
        ("http://fass.example\\\u00df", ["fass.example"]),
    ],
)
def test_letters_that_idna_2003_has_others_for_are_read_in_both_ways(
    text: str, hosts: list[str]
) -> None:
    sources = []
    for one in possible_sources(text):
        with suppress(BadSource):
            sources.append(parse_source(one))
    assert [source.host for source in sources] == hosts
    assert len({source.path for source in sources}) <= 2  # of a backslash's readings
    assert len(hosts) == 1 or pc.match_substring_regex(pa.scalar(text), SEVERAL).as_py()
