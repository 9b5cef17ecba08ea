import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.assets.verdict import Finding, SignalKind, Tier, tier
from ingestgate.blocklists import hamming
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.open_list import MAX_FINDINGS

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
    # A list that holds nothing of a kind hides none of those after it.
    assert entries(lists.match_digest("sha1", "01" * 20, "content")) == [("b", "b:sha1:1")]


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
