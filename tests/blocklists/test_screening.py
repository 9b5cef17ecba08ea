import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestgate.blocklists import screening
from ingestgate.blocklists.columns import as_texts
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.sources import BadSource

Open = Callable[..., ListSet]

DOMAINS = (
    "bad.com",
    "*.below.net",
    "b.sub.org",
    "10.1.2.3",
    "bücher.example",
    "x--y.z.io",
    "xn--a.invalid-punycode.example",
    "lookout.example",
    "\u04c0.example",
    "masse.example",
)
URLS = (
    "page.example/a",
    "page.example/a/b/",
    "page.example/q?x=1",
    "page.example/r?",
    "root.example/",
    "page.example/~d/.well-known/(1);'\"{}|^`<>",
    "page.example/%41%2525",
    "[::1]/v6",
    "1.2.3.4/v4",
    "page.example/?a&b",
    "page.example/img%3Bhttps://c.example/3.jpg",
    "page.example/get?urls=http://a.example/1%2Chttp://b.example/2",
)
INNOCENT = (
    "http://good.com",
    "HTTPS://GOOD.com/",
    "https://a.b.good.com:8080/x/y.jpg?w=1&h=2#top",
    "http://notbad.com/bad.com",
    "http://bad.com.example/",
    "http://sub.org?b.sub.org",
    "http://page.example.org/a",
    "http://page.example/b",
    "http://page.example/a/c/d",
    "http://page.example/q?x=2&x=1",
    "https://www.only.org/",
    "https://below.net/",
    "http://x-.-y._z.com#",
    "http://good.com/%41\\ \t",
)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> ListSet:
    folder = tmp_path_factory.mktemp("lists")
    issued = datetime(2025, 1, 1, tzinfo=UTC)
    for name, values in (("domain", DOMAINS), ("url", URLS)):
        (folder / f"{name}.txt").write_text("\n".join(values))
        compile_list(
            id=name,
            version=1,
            sources=[(name, str(folder / f"{name}.txt"))],
            to=str(folder / "lists"),
            issued=issued,
        )
    (folder / "only.txt").write_text("only.org")
    compile_list(
        id="exact",
        version=1,
        sources=[("domain", str(folder / "only.txt"))],
        to=str(folder / "lists"),
        issued=issued,
        domain_scope="exact",
    )
    return ListSet.open(str(folder / "lists"), now=issued)


def judged(lists: ListSet, texts: list[str | None]) -> tuple[dict[int, Any], list[int]]:
    """What parsing every source comes to."""
    hits, bad = {}, []
    for row, text in enumerate(texts):
        try:
            found = lists.match_source(text or "", "url")
        except BadSource as error:
            bad.append(row)
            found = list(error.findings)
        if found:
            hits[row] = found
    return hits, bad


def undecided(lists: ListSet, texts: list[str | None]) -> list[int]:
    screens = [one.screens for one in lists.lists]
    rows: list[int] = screening.undecided(as_texts(pa.array(texts, pa.string())), screens).tolist()
    return rows


pieces = st.sampled_from(
    [
        *(
            "http://",
            "HTTPS://",
            "https:",
            "ftp://",
            "//",
            "/",
            "/",
            "\\",
            ":",
            ":80",
            ":99999",
            "@",
            "\\@",
        ),
        *(".", ".", "..", "/.", "/..", "?", "&", "#", "%41", "%2e", "%", " ", "\t", "\n", "é", "ß"),
        *(
            "a",
            "b",
            "q",
            "x=1",
            "bad",
            "BAD.com",
            "sub.org",
            "com",
            "only.org",
            "below.net",
            "xn--a",
            "invalid-punycode.example",
        ),
        *("page.example", "PAGE.example/a", "root.example", "10.1.2.3", "1.2", "0x7f", "-", "_"),
        *(" http://", ",https://", "|s3://", "; ftp:\\\\", "\n//", "/http://", "=https://"),
        *("\u3000http://", "\u3001https://", ' ("s3://'),
        *("[::1]", "xn--bcher-kva.example", "bücher.example", "z.io", "x--y", "a.b.c.d.e.f.g.h"),
        *("\u3002", "\u00ad", "\ud7ff", "'\"", "{}|^`<>", ";(1)", "~d", ".well-known"),
    ]
)
urls = st.builds(
    lambda start, rest: start + "".join(rest),
    st.sampled_from(["http://", "https://", "HtTp://", "http:", ""]),
    st.lists(pieces, max_size=9),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.none() | urls | st.text(max_size=12), max_size=12))
@example(["http://" + "a." * 200 + "com", "http://" + "a" * 64 + ".com", "http://a.com:65536/"])
@example(["http://page.example/" + "a/" * 40, "http://page.example/" + "%25" * 20])
@example(["http://good.com/a, https://bad.com/b", "http://good.com|http://b.sub.org|x://y"])
@example(["http://good.com/a\u3000https://bad.com/b", "http://good.com (http://b.sub.org)"])
@example(["http://good.com\\@bad.com/b", "http://good.com:80\\x@b.sub.org", "good.com\\@bad.com"])
@example(["http://ma\u00dfe.example", "MA%c3%9FE.example/x", "https://b\u00fccher\u200d.example/x"])
@example(["http://xn--a.invalid-punycode.example/", "http://look\u180eout.example/"])
@example(["http://\u04c0.example/", "xn--a.invalid-punycode.example", "http://ho%2Fst.example/"])
@example(["http://a.1/", "http://a.0x1/", "http://1a.com/", "http://a.1a/", "http://a.xn--/"])
def test_nothing_listed_bad_or_doubtful_is_screened_out(
    listed: ListSet, texts: list[str | None]
) -> None:
    hits, bad = judged(listed, texts)
    rows = undecided(listed, texts)
    assert set(hits) | set(bad) <= set(rows)
    matches = listed.match_sources(pa.array(texts, pa.string()), "url")
    assert (matches.hits, matches.bad.tolist()) == (hits, bad)


@pytest.mark.parametrize("text", INNOCENT)
def test_plain_sources_that_are_not_listed_are_screened_out(listed: ListSet, text: str) -> None:
    assert judged(listed, [text]) == ({}, [])
    assert undecided(listed, [text]) == []


LISTED = (
    "http://bad.com",
    "https://A.bad.COM:80/x",
    "http://only.org/",
    "http://x.below.net/",
    "http://a.b.sub.org?",
    "http://page.example/a",
    "http://page.example/a/",
    "http://page.example/a?q",
    "http://page.example/a#f",
    "http://page.example/a/b/",
    "http://page.example/a/b/c",
    "http://page.example/q?x=1",
    "http://page.example/q?x=1&y",
    "http://page.example/?a&b&c",
    "http://root.example",
    "http://root.example?x",
    "http://root.example/x/y",
    "http://page.example/~d/.well-known/(1);'\"{}|^`<>",
    "http://page.example/img;https://c.example/3.jpg",
    "http://page.example/get?urls=http://a.example/1,http://b.example/2",
)


@pytest.mark.parametrize("text", LISTED)
def test_listed_sources_are_kept(listed: ListSet, text: str) -> None:
    hits, _ = judged(listed, [text])
    assert list(hits) == [0]
    assert undecided(listed, [text]) == [0]


def test_rows_keep_their_numbers_over_blocks_and_slices(listed: ListSet) -> None:
    texts = ["https://good.com/x"] * 40_000
    for row in (0, 16_383, 16_384, 39_999):
        texts[row] = "https://x.bad.com/y"
    column = as_texts(pa.array(["http://bad.com", *texts, "http://bad.com"]))
    screens = [one.screens for one in listed.lists]
    assert screening.undecided(column.slice(1, 40_000), screens).tolist() == [
        0,
        16383,
        16384,
        39999,
    ]
    assert screening.undecided(column.slice(0, 0), screens).tolist() == []
    assert screening.undecided(pa.nulls(3, pa.large_string()), screens).tolist() == [0, 1, 2]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 1000, 20_000])
def test_screens_hold_what_was_put_in(count: int) -> None:
    expressions = [f"a{i}.com".encode() for i in range(count)]
    table = screening.build_screen(np.unique(screening.fingerprints(screening.DOMAIN, expressions)))
    assert np.count_nonzero(table) == count
    texts = as_texts(pa.array([f"http://a{i}.com/" for i in range(count + 2000)]))
    rows = screening.undecided(texts, [{screening.DOMAIN: table}])
    assert rows.tolist() == list(range(count))


def test_full_buckets_spill_into_the_next() -> None:
    last = np.uint64(3) << np.uint64(62)
    crowded = last + 4 * np.arange(1, 13, dtype=np.uint64)
    spread = 4 * np.arange(1, 5, dtype=np.uint64) + (np.uint64(1) << np.uint64(20))
    table = screening.build_screen(np.concatenate([spread, crowded]))
    assert len(table) == 32
    flags = np.zeros(18, np.bool_)
    asked = np.concatenate([crowded, spread, [last + np.uint64(400), np.uint64(400)]])
    screening._flag(table, asked, np.arange(18), 18, flags)
    assert flags.tolist() == [True] * 16 + [False] * 2


def test_lists_without_screens_are_looked_up_in_full(
    listed: ListSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = ListSet([replace(one, screens={}) for one in listed.lists])
    texts = [*LISTED, *INNOCENT, "nonsense", None]
    expected = judged(listed, texts)
    monkeypatch.delattr(screening, "undecided")
    matches = older.match_sources(pa.array(texts), "url")
    assert (matches.hits, matches.bad.tolist()) == expected


def test_hashed_expressions_are_looked_up_in_full(compiled: Any, opened: Open) -> None:
    compiled("hosts", domain="bad.com")
    compiled("hashed", expression=hashlib.sha256(b"hashed.com/").hexdigest())
    matches = opened().match_sources(pa.array(["http://a.hashed.com/x", "http://a.com"]), "url")
    assert list(matches.hits) == [0]
