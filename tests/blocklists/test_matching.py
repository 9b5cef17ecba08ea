import hashlib
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import Finding, SignalKind, Tier, tier
from ingestgate.blocklists import hamming, matching
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.matching import MAX_FINDINGS
from ingestgate.blocklists.sources import BadSource

Open = Callable[..., ListSet]
MD5 = "0123456789abcdef0123456789abcdef"


def entries(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.list_id, finding.entry_id) for finding in findings]


def near(value: bytes, distance: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    bits = np.unpackbits(np.frombuffer(value, np.uint8))
    bits[np.random.default_rng(seed).permutation(len(bits))[:distance]] ^= 1
    return np.packbits(bits)


def test_digest(compiled: Any, opened: Open) -> None:
    compiled("a", 3, md5=f"value,entry_id,category\n{MD5},7,A1\n{MD5},8,B\n")
    compiled("b", 1, md5=MD5, sha1="01" * 20, action="observe")
    lists = opened()
    first, second, third = lists.match_digest("md5", MD5.upper(), "content")
    assert first == Finding(
        "a", 3, "7", "A1", "md5", SignalKind.DIGEST, "content", 0, 0, "quarantine"
    )
    assert (second.entry_id, second.category) == ("8", "B")
    assert (third.list_id, third.entry_id, third.action) == ("b", "b:md5:1", "observe")
    assert lists.match_digest("md5", bytes.fromhex(MD5), "content") == [first, second, third]
    assert lists.match_digest("md5", MD5[:-1] + "e", "content") == []
    assert lists.match_digest("sha256", "01" * 32, "content") == []


@pytest.mark.parametrize("digest", ["", MD5[:-1], MD5 + "00", "zz" * 16, b"short"])
def test_what_is_no_digest(compiled: Any, opened: Open, digest: str | bytes) -> None:
    compiled(md5=MD5)
    with pytest.raises(UsageError, match="view content: not a md5 of 16 bytes"):
        opened().match_digest("md5", digest, "content")


def test_kinds_are_not_mixed_up(compiled: Any, opened: Open) -> None:
    compiled(md5=MD5)
    with pytest.raises(UsageError, match="pdq is a perceptual, not a digest"):
        opened().match_digest("pdq", "01" * 32, "content")
    with pytest.raises(UsageError, match="md5 is a digest, not a perceptual"):
        opened().match_perceptual("md5", np.zeros((1, 16), np.uint8), ["full"])
    with pytest.raises(UsageError, match="no signal type"):
        opened().match_digest("md6", MD5, "content")


def test_column_of_digests_equals_one_by_one(compiled: Any, opened: Open) -> None:
    rng = random.Random(1)
    listed = [rng.randbytes(20).hex() for _ in range(50)]
    compiled("a", sha1="\n".join(listed))
    compiled("b", sha1="\n".join(listed[:10]))
    lists = opened()
    texts: list[str | None] = [
        rng.choice(listed) if i % 3 else rng.randbytes(20).hex().upper() for i in range(60)
    ]
    texts += [None, "", "nonsense", listed[0].upper()]
    matches = lists.match_digests("sha1", pa.chunked_array([texts[:9], texts[9:]]), "declared:sha1")
    expected = {
        i: found
        for i, text in enumerate(texts)
        if text and text != "nonsense"
        if (found := lists.match_digest("sha1", text, "declared:sha1"))
    }
    assert matches.hits == expected
    assert len(expected) > 40
    assert matches.bad.tolist() == [62]


@pytest.mark.parametrize("indexed", [True, False])
def test_perceptual_at_the_boundary(
    compiled: Any, opened: Open, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    monkeypatch.setattr(hamming, "INDEXED_FROM", 1 if indexed else 100)
    value = bytes(range(1, 33))
    compiled("a", pdq=value.hex())
    compiled("b", pdq=value.hex(), thresholds={"pdq": 30})
    lists = opened()
    assert bool(lists.lists[0].indexes) is indexed
    for distance, found in ((0, ["a", "b"]), (30, ["a", "b"]), (31, ["a"]), (32, [])):
        query = near(value, distance).reshape(1, -1)
        findings = lists.match_perceptual("pdq", query, ["full"])
        assert [(f.list_id, f.distance) for f in findings] == [(one, distance) for one in found]
        assert [f.threshold for f in findings] == [31, 30][: len(found)]


def test_list_of_one_and_of_a_type_it_lacks(compiled: Any, opened: Open) -> None:
    compiled(phash="0102030405060708")
    lists = opened()
    query = np.arange(1, 9, dtype=np.uint8).reshape(1, 8)
    assert entries(lists.match_perceptual("phash", query, ["full"])) == [
        ("partner", "partner:phash:1")
    ]
    assert lists.match_perceptual("pdq", np.zeros((1, 32), np.uint8), ["full"]) == []
    assert lists.match_perceptual("phash", np.zeros((0, 8), np.uint8), []) == []


def test_best_view_per_entry(compiled: Any, opened: Open) -> None:
    value = bytes(range(1, 33))
    other = near(value, 4, seed=9).tobytes()
    compiled(pdq=f"value,entry_id\n{value.hex()},one\n{other.hex()},one\n{other.hex()},two\n")
    queries = np.stack([near(value, 9), near(value, 2), near(value, 2), near(value, 200)])
    findings = opened().match_perceptual("pdq", queries, ["v0", "v1", "v2", "v3"])
    assert [(f.entry_id, f.view) for f in findings] == [("one", "v1"), ("two", "v1")]
    assert findings[0].distance == 2
    assert findings[1].distance == int(
        np.unpackbits(near(value, 2) ^ np.frombuffer(other, np.uint8)).sum()
    )


@pytest.mark.parametrize("shape", [(2, 32), (1, 31), (32,)])
def test_hashes_that_do_not_fit(compiled: Any, opened: Open, shape: tuple[int, ...]) -> None:
    compiled(pdq="01" * 32)
    with pytest.raises(UsageError, match="wants uint8 hashes of shape"):
        opened().match_perceptual("pdq", np.zeros(shape, np.uint8), ["full"])


def test_cap_keeps_the_nearest_of_every_list(compiled: Any, opened: Open) -> None:
    value = bytes(range(1, 33))
    many = [near(value, 5 + i % 20, seed=i).tobytes().hex() for i in range(200)]
    compiled("a", pdq="\n".join([*many, value.hex()]))
    compiled("b", pdq=near(value, 31).tobytes().hex())
    query = np.frombuffer(value, np.uint8).reshape(1, -1)
    findings = opened().match_perceptual("pdq", query, ["full"])
    assert len(findings) == MAX_FINDINGS + 1
    assert (findings[0].entry_id, findings[0].distance) == ("a:pdq:201", 0)
    assert max(f.distance for f in findings[:-1]) <= 11
    assert tier(findings) is Tier.NEAR_SEVERAL


def test_cap_of_digests(compiled: Any, opened: Open) -> None:
    lines = "".join(f"{MD5},id-{i:03}\n" for i in range(100))
    compiled("a", md5="value,entry_id\n" + lines)
    compiled("b", md5=MD5)
    findings = opened().match_digest("md5", MD5, "content")
    assert [f.list_id for f in findings] == ["a"] * MAX_FINDINGS + ["b"]


EVASIONS = [
    "https://BAD.com/",
    "https://x.b.sub.org/",
    "http://10.1.2.3/x",
    "http://xn--bcher-kva.example/",
    "http://B\u00dcCHER.example/",
    "http:\\\\bad.com\\x",
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
    "http://com/",
]


@pytest.fixture
def sources(compiled: Any, opened: Open) -> ListSet:
    compiled("hosts", domain="bad.com\nb.sub.org\n10.1.2.3\nb\u00fccher.example\n")
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
    compiled("below", domain="a.example\n*.b.example")
    compiled("exact", domain="a.example\n*.b.example", domain_scope="exact")
    lists = opened()
    for host, found in (
        ("a.example", ["below", "exact"]),
        ("x.y.a.example", ["below"]),
        ("b.example", []),
        ("x.y.b.example", ["below", "exact"]),
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
    monkeypatch.setattr(matching, "_TOGETHER", 7)
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
