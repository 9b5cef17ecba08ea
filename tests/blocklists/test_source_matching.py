import hashlib
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from ingestgate.blocklists import source_matching
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.sources import BadSource

Open = Callable[..., ListSet]
MD5 = "0123456789abcdef0123456789abcdef"


EVASIONS = [
    "https://BAD.com/",
    "https://x.b.sub.org/",
    "http://10.1.2.3/x",
    "http://xn--bcher-kva.example/",
    "http://B\u00dcCHER.example/",
    "http:\\\\bad.com\\x",
    "http://good.com\\@bad.com/",
    "http://bad.com\\@good.com/",
    "http://ma\u00dfe.example/",
    "http://page.example/listed?x=1",
    "https://page.example/listed",
    "http://bad.com./",
    "http://0xa.0x10203/",
    "http://u:p@bad.com:81/",
    "bad.com/x",
]
INNOCENT = [
    "http://notbad.com/",
    "http://bad.com.example/",
    "http://sub.org/",
    "http://110.1.2.3/",
    "http://page.example/",
    "http://page.example/listed/below",
    "http://good.com/?u=http://bad.com/",
    "http://bad.com@good.com/",
    "http://good.com/\\@bad.com",
    "http://good.com\\ma\u00dfe.example",
    "http://com/",
]


@pytest.fixture
def sources(compiled: Any, opened: Open) -> ListSet:
    compiled("hosts", domain="bad.com\nb.sub.org\n10.1.2.3\nb\u00fccher.example\nmasse.example\n")
    compiled("pages", url="http://page.example/listed\n")
    return opened()


@pytest.mark.parametrize("url", EVASIONS)
def test_no_spelling_evades(sources: ListSet, url: str) -> None:
    (finding,) = sources.match_source(url, "url")
    assert (finding.kind, finding.view, finding.distance) == ("source", "url", 0)


@pytest.mark.parametrize("url", INNOCENT)
def test_innocent_sources(sources: ListSet, url: str) -> None:
    assert sources.match_source(url, "url") == []


def test_scopes_and_wildcards(compiled: Any, opened: Open) -> None:
    compiled("below", domain="a.example\n*.b.example\n.c.example")
    compiled("exact", domain="a.example\n*.b.example\n.c.example", domain_scope="exact")
    lists = opened()
    for host, found in (
        ("a.example", ["below", "exact"]),
        ("x.y.a.example", ["below"]),
        ("b.example", []),
        ("x.y.b.example", ["below", "exact"]),
        ("c.example", ["below", "exact"]),
        ("x.y.c.example", ["below", "exact"]),
    ):
        findings = lists.match_source(f"http://{host}/", "url")
        assert [finding.list_id for finding in findings] == found


def test_one_finding_per_entry(compiled: Any, opened: Open) -> None:
    compiled(
        domain="value,entry_id\na.example,one\nx.a.example,one\n",
        url="value,entry_id\nhttp://x.a.example/,one\nhttp://x.a.example/p,one\n",
    )
    findings = opened().match_source("http://x.a.example/p", "url")
    assert [(f.signal_type, f.entry_id) for f in findings] == [("domain", "one"), ("url", "one")]


def test_blank_and_bad_sources(sources: ListSet) -> None:
    assert sources.match_source("  ", "url") == []
    with pytest.raises(BadSource):
        sources.match_source("nonsense", "url")


def test_a_name_with_a_joiner_is_bad_and_found_without_it(sources: ListSet) -> None:
    with pytest.raises(BadSource) as caught:
        sources.match_source("http://b\u200da\u200dd.com/", "url")
    (finding,) = caught.value.findings
    assert finding.list_id == "hosts"


@pytest.mark.parametrize("chunks", [1, 3])
def test_column_of_sources_equals_one_by_one(sources: ListSet, chunks: int) -> None:
    texts: list[str | None] = [
        *EVASIONS,
        *INNOCENT,
        None,
        "",
        " \t",
        "nonsense",
        "http://bad.com:99999/",
        "http://1.2.3.4.5/",
        "http://xn--a.\u00df/",
        "data:,x",
        "http://page.example/%" + "25" * 40,
        "http://other.example/%" + "25" * 40,
        "https://page.example:443/listed#f",
    ]
    random.Random(chunks).shuffle(texts)
    size = -(-len(texts) // chunks)
    column = pa.chunked_array(
        [texts[i : i + size] for i in range(0, len(texts), size)], pa.string()
    )
    matches = sources.match_sources(column, "url")
    hits, bad = {}, []
    for row, text in enumerate(texts):
        try:
            found = sources.match_source(text or "", "url")
        except BadSource as error:
            bad.append(row)
            found = list(error.findings)
        if found:
            hits[row] = found
    assert matches.hits == hits
    assert list(matches.hits) == sorted(hits)
    assert matches.bad.tolist() == bad
    assert len(hits) == len(EVASIONS) + 1
    assert len(bad) == 6


def test_hosts_without_end_are_bad_and_take_no_memory(sources: ListSet) -> None:
    labels = "a." * 32_000
    texts = [f"http://{labels}com/", f"{labels}bad.com", f"http://{labels}page.example:80\\listed"]
    fine = "http://a.bad.com/"
    sources.match_sources(pa.array([fine]), "url")  # what is made once
    tracemalloc.start()
    for text in texts:
        with pytest.raises(BadSource, match="more than 253 characters"):
            sources.match_source(text, "url")
    matches = sources.match_sources(pa.array([*texts, fine]), "url")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (list(matches.hits), matches.bad.tolist()) == ([3], [0, 1, 2])
    assert peak < 4 << 20


def test_many_expressions_are_looked_up_a_part_at_a_time(
    sources: ListSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [url for pair in zip(EVASIONS, INNOCENT, strict=False) for url in pair]
    texts += ["http://page.example/" + "a/" * 50 + "?" + "b&" * 50, "http://page.example/listed"]
    whole = sources.match_sources(pa.array(texts), "url")
    monkeypatch.setattr(source_matching, "_TOGETHER", 7)
    parts = sources.match_sources(pa.array(texts), "url")
    assert parts.hits == whole.hits
    assert len(parts.hits) > 3


OVER_ENCODED = "%" + "25" * 40


@pytest.mark.parametrize(
    "text",
    [OVER_ENCODED, f"p?{OVER_ENCODED}", f"{OVER_ENCODED}?a=b"],
    ids=["path", "query", "path with query"],
)
@pytest.mark.parametrize("listed", ["domain", "url", "expression"])
def test_a_listed_host_is_found_though_the_rest_cannot_be_decoded(
    compiled: Any, opened: Open, listed: str, text: str
) -> None:
    values = {
        "domain": "bad.com",
        "url": "http://x.bad.com/",
        "expression": hashlib.sha256(b"x.bad.com/").hexdigest(),
    }
    # A listed URL on the host, so that the path is looked at whatever the other list holds.
    compiled("paths", url="http://x.bad.com/elsewhere\nhttp://y.bad.com/")
    compiled("hosts", **{listed: values[listed]})
    lists = opened()
    url = f"http://x.bad.com/{text}"
    matches = lists.match_sources(pa.array(["http://fine.com/", url, f"{url}z"]), "url")
    assert matches.bad.tolist() == [1, 2]
    assert [finding.list_id for finding in matches.hits[1]] == ["hosts"]
    with pytest.raises(BadSource) as caught:
        lists.match_source(url, "url")
    assert list(caught.value.findings) == matches.hits[1]


def test_a_listed_path_is_found_though_its_query_cannot_be_decoded(
    compiled: Any, opened: Open
) -> None:
    compiled(url="http://bad.com/listed")
    matches = opened().match_sources(pa.array([f"http://bad.com/listed?{OVER_ENCODED}"]), "url")
    assert (list(matches.hits), matches.bad.tolist()) == ([0], [0])


LISTED_WITH_OTHERS = (
    "https://page.example/fetch?urls=http://a.example/1.jpg,http://b.example/2.jpg",
    "https://page.example/img;https://c.example/3.jpg",
    "https://page.example/below;s3://d.example/",
)


def as_listed(url: str) -> str:
    """A URL with others in it as lists take it: two of them are refused."""
    return url.replace(",", "%2C").replace(";", "%3B")


@pytest.mark.parametrize("listed", ["url", "expression"])
def test_a_listed_url_with_others_in_it_is_found(compiled: Any, opened: Open, listed: str) -> None:
    expressions = [  # a path's slashes are one
        "page.example/fetch?urls=http://a.example/1.jpg,http://b.example/2.jpg",
        "page.example/img;https:/c.example/3.jpg",
        "page.example/below;s3:/d.example/",
    ]
    hashed = [hashlib.sha256(expression.encode()).hexdigest() for expression in expressions]
    compiled(
        **{listed: "\n".join(map(as_listed, LISTED_WITH_OTHERS) if listed == "url" else hashed)}
    )
    lists = opened()
    texts = [
        *LISTED_WITH_OTHERS,
        "http://page.example/fetch?urls=http://a.example/1.jpg",
        "http://page.example/img https://c.example/3.jpg",
        "http://page.example/img, http://fine.example/",
    ]
    matches = lists.match_sources(pa.array(texts), "url")
    assert (list(matches.hits), matches.bad.tolist()) == ([0, 1, 2], [])
    for row, url in enumerate(LISTED_WITH_OTHERS):
        (finding,) = lists.match_source(url, "url")
        assert finding.entry_id.endswith(f":{row + 1}")
        assert matches.hits[row] == [finding]


@pytest.mark.parametrize(
    "between",
    [
        " ",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\x85",
        "\u200b",
        "\x7f",
        "\uff0c",
        "\u3001",
        " (",
        " <",
        ', "',
    ],
)
def test_a_listed_source_behind_another_is_found(compiled: Any, opened: Open, between: str) -> None:
    compiled("hosts", domain="bad.example")
    compiled("pages", url="https://page.example/2.jpg")
    lists = opened()
    texts = [
        f"https://a.test/1.jpg{between}{second}{end}"
        for second in ("https://bad.example/2.jpg", "https://page.example/2.jpg")
        for end in ("", {" (": ")", " <": ">", ', "': '"'}.get(between, "\u3000"))
    ]
    matches = lists.match_sources(pa.array([*texts, f"{texts[0]}x".replace("bad", "good")]), "url")
    assert (list(matches.hits), matches.bad.tolist()) == ([0, 1, 2, 3], [])
    for row, text in enumerate(texts):
        assert lists.match_source(text, "url") == matches.hits[row]
        assert [one.list_id for one in matches.hits[row]] == ["hosts" if row < 2 else "pages"]


def test_several_of_which_the_whole_cannot_be_decoded_are_bad(compiled: Any, opened: Open) -> None:
    compiled(url="\n".join(map(as_listed, LISTED_WITH_OTHERS)))
    lists = opened()
    text = f"{LISTED_WITH_OTHERS[1]}?{OVER_ENCODED}"
    with pytest.raises(BadSource, match="percent-encoded") as caught:
        lists.match_source(text, "url")
    matches = lists.match_sources(pa.array([text]), "url")
    assert matches.bad.tolist() == [0]
    assert matches.hits[0] == list(caught.value.findings)
    assert [finding.entry_id[-2:] for finding in matches.hits[0]] == [":2"]


def test_what_is_no_text_is_bad(sources: ListSet) -> None:
    texts = [b"http://bad.com/", b"http://\xff.com/", b"http://page.example/\xff", b"\xff"]
    column = pa.array(texts, pa.large_binary())
    unchecked = pa.Array.from_buffers(pa.large_string(), len(texts), column.buffers())
    matches = sources.match_sources(unchecked, "url")
    assert list(matches.hits) == [0]
    assert matches.bad.tolist() == [1, 2, 3]


def test_lists_without_sources_still_refuse_what_does_not_parse(
    compiled: Any, opened: Open
) -> None:
    compiled(md5=MD5)
    matches = opened().match_sources(pa.array(["http://a.com/", "nonsense"]), "url")
    assert (matches.hits, matches.bad.tolist()) == ({}, [1])
