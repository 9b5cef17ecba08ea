"""Compiled lists that other versions of the program made are read, and find the same."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import FORMAT_VERSION

REPLAYED = Path(__file__).parent / "replayed"
FORMS = ("1.0", "1.1", "1.9")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ENTRIES = 40


def opened(form: str) -> ListSet:
    return ListSet.open(str(REPLAYED / form), now=NOW)


def digest(name: str, number: int) -> bytes:
    return hashlib.sha256(f"{name} {number}".encode()).digest()


@pytest.mark.parametrize("form", FORMS)
def test_every_entry_is_found(form: str) -> None:
    lists = opened(form)
    for number in range(ENTRIES):
        (by_digest,) = lists.match_digest("md5", digest("md5", number)[:16], "content")
        assert (by_digest.entry_id, by_digest.category) == (f"md5-{number}", f"A{number % 2 + 1}")
        for name, width, bits in (("pdq", 32, 31), ("phash", 8, 6)):
            query = np.frombuffer(digest(name, number)[:width], np.uint8).copy()
            query[:4] ^= np.array(
                [255, 255, 255, 127] if name == "pdq" else [63, 0, 0, 0], np.uint8
            )
            (near,) = lists.match_perceptual(name, query[None], ["full/upright"])
            assert (near.entry_id, near.distance) == (f"{name}-{number}", bits)
        (by_host,) = lists.match_source(f"http://x.d{number}.listed.example./y", "url")
        assert by_host.entry_id == f"domain-{number}"
        (by_url,) = lists.match_source(f"http://h{number % 7}.pages.example/p/{number}?q", "url")
        assert by_url.entry_id == f"url-{number}"


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_sources_give_the_same(form: str) -> None:
    urls = [f"https://d{number}.listed.example/" for number in range(ENTRIES)]
    urls += [f"https://h{number % 7}.pages.example/p/{number}" for number in range(ENTRIES)]
    urls += [f"https://h{number % 7}.pages.example/q/{number}" for number in range(ENTRIES)]
    found = opened(form).match_sources(pa.array(urls), "url")
    assert sorted(found.hits) == list(range(2 * ENTRIES))
    assert not len(found.bad)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_listed_nowhere_is_not_found(form: str) -> None:
    lists = opened(form)
    assert lists.match_digest("md5", digest("md5", ENTRIES)[:16], "content") == []
    assert lists.match_source("https://listed.example/", "url") == []


def test_the_newest_stored_form_is_this_versions() -> None:
    assert FORMAT_VERSION in FORMS


def test_another_major_is_refused(tmp_path: Path) -> None:
    shutil.copytree(REPLAYED / "1.1", tmp_path / "lists")
    path = tmp_path / "lists" / "replayed-1" / "list.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": "2.0"}))
    with pytest.raises(ListError, match=r"compiled form 2\.0, this program reads 1\.1;"):
        ListSet.open(str(tmp_path / "lists"), now=NOW)


def test_a_newer_forms_files_are_still_checked_for_presence(tmp_path: Path) -> None:
    shutil.copytree(REPLAYED / "1.9", tmp_path / "lists")
    (tmp_path / "lists" / "replayed-1" / "pdq.sketch.arrow").unlink()
    with pytest.raises(ListError, match=r"pdq\.sketch\.arrow is missing"):
        ListSet.open(str(tmp_path / "lists"), now=NOW)
