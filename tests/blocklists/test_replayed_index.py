"""Stored lists with a multi-index, feedback, hashed expressions and a signature are read alike."""

import hashlib
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import ListError
from ingestgate.blocklists import hamming, indexing
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import FORMAT_VERSION
from ingestgate.blocklists.trust import Trust

REPLAYED = Path(__file__).parent / "replayed"
FORMS = ("1.0", "1.1", "1.9")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ENTRIES = 40


@pytest.fixture(scope="module", params=FORMS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("indexed")
    with tarfile.open(REPLAYED / f"indexed-{request.param}.tar.gz") as archive:
        archive.extractall(to, filter="data")
    return to


@pytest.fixture(scope="module")
def lists(folder: Path) -> ListSet:
    return ListSet.open(str(folder), now=NOW, trust=Trust({"partner": KEY.public_key()}))


def digest(name: str, number: int) -> bytes:
    return hashlib.sha256(f"{name} {number}".encode()).digest()


def test_the_signature_holds(lists: ListSet, folder: Path) -> None:
    assert lists.infos[0].signed_by == ("partner",)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(ListError, match="signed by"):
        ListSet.open(str(folder), now=NOW, trust=Trust({"other": other}))


def test_hashes_are_found_through_the_index(
    lists: ListSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = lists.lists
    if one.info.format != "1.0":  # whose index was another, and is not looked at
        assert set(one.indexes) == {"pdq", "phash"}
        monkeypatch.delattr(hamming, "scan")
    for number in range(ENTRIES):
        for name, width, bits in (("pdq", 32, 31), ("phash", 8, 6)):
            for flipped in range(bits + 2):
                query = np.frombuffer(digest(name, number)[:width], np.uint8).copy()
                spread = np.zeros(8 * width, np.uint8)  # over all chunks: none is left as it was
                spread[np.arange(flipped) * 8 * width // max(flipped, 1)] = 1
                query ^= np.packbits(spread)
                found = lists.match_perceptual(name, query[None], ["full/upright"])
                mine = [one for one in found if one.entry_id == f"entry-{number}"]
                assert [one.distance for one in mine] == [flipped] * (flipped <= bits)


def test_entries_have_their_feedback(lists: ListSet) -> None:
    for number in range(ENTRIES):
        (found,) = lists.match_source(f"http://x.h{number}.hashed.example/y", "url")
        assert (found.entry_id, found.signal_type) == (f"entry-{number}", "expression")
        assert (found.category, found.feedback) == (f"A{number % 2 + 1}", f"said {number % 3}")
    assert lists.match_source("http://hashed.example/", "url") == []


def test_this_form_has_this_layout(lists: ListSet) -> None:
    (one,) = lists.lists
    if one.info.format != FORMAT_VERSION:
        return
    for name, stored in one.indexes.items():
        built = indexing.build_index(one.values[name].values, one.info.thresholds[name])
        for array, kept in zip(built, stored, strict=True):
            assert np.array_equal(array, kept), "another layout needs another name or form"
