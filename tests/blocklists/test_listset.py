import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestgate.assets.errors import ListError, UsageError
from ingestgate.assets.verdict import Action
from ingestgate.blocklists import hamming, indexing, tables
from ingestgate.blocklists.chunking import SHARED
from ingestgate.blocklists.listset import ListOverride, ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.tables import SortedValues
from tests.blocklists.conftest import to_ipc

Open = Callable[..., ListSet]
Compile = Callable[..., ListInfo]
VALUE = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 31 + "0"
ISSUED = datetime.fromisoformat("2025-01-01T00:00:00+00:00")


@pytest.fixture
def directory(tmp_path: Path, compiled: Compile) -> Path:
    """A compiled list with every kind of file."""
    compiled(md5=f"{VALUE}\n{OTHER}", phash="01" * 8, url="http://a.example/b", domain="b.example")
    return tmp_path / "lists" / "partner-1"


def restate(directory: Path, name: str = "", content: bytes = b"", **fields: Any) -> None:
    """Rewrites a file and fields of list.json, as somebody with a text editor would."""
    manifest = json.loads((directory / "list.json").read_bytes())
    if name:
        (directory / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": digest, "size": len(content)}
    manifest.update(fields)
    (directory / "list.json").write_text(json.dumps(manifest))


def table(values: list[bytes], entries: list[int]) -> bytes:
    width = len(values[0])
    array = np.frombuffer(b"".join(values), np.uint8).reshape(-1, width)
    batch = tables.sorted_batch(SortedValues(array, np.array(entries, np.uint32)))
    return to_ipc([batch])


def refused(opened: Open, reason: str, **options: Any) -> None:
    with pytest.raises(ListError, match=reason) as caught:
        opened(**options)
    assert VALUE not in str(caught.value)
    assert "a.example" not in str(caught.value)
    # Every refusal says what to do.
    assert re.search("compile|copy|remove|put|get|install|check|start", str(caught.value))


def test_opens_what_was_compiled(directory: Path, opened: Open) -> None:
    lists = opened()
    (info,) = lists.infos
    assert lists.signal_types == {"md5", "phash", "url", "domain"}
    assert info.digest == hashlib.sha256((directory / "list.json").read_bytes()).hexdigest()
    assert lists.superseded == ()
    assert opened(verify=False, expected_digest=lists.digest).digest == lists.digest
    assert ListSet.open(str(directory), now=ISSUED).digest == lists.digest


def test_values_are_mapped_not_copied(directory: Path, opened: Open) -> None:
    values = opened().lists[0].values["md5"].values
    assert not values.flags.owndata
    assert not values.flags.writeable


def test_highest_version_is_used(compiled: Compile, opened: Open) -> None:
    for version in (9, 10, 2):
        compiled("a", version, md5=VALUE)
    compiled("b", 1, md5=OTHER)
    lists = opened()
    assert [(info.id, info.version) for info in lists.infos] == [("a", 10), ("b", 1)]
    assert [info.version for info in lists.superseded] == [2, 9]


def test_digest_changes_with_any_list(compiled: Compile, opened: Open) -> None:
    compiled("a", 1, md5=VALUE)
    first = opened().digest
    compiled("a", 2, md5=VALUE)
    second = opened().digest
    compiled("b", 1, md5=VALUE)
    assert len({first, second, opened().digest}) == 3


def test_empty_folder(tmp_path: Path, opened: Open) -> None:
    refused(opened, "no compiled list there; compile one")
    (tmp_path / "lists").mkdir()
    refused(opened, "no compiled list there; compile one")


@pytest.mark.parametrize("name", ["md5.arrow", "entries.arrow", "url.hosts.arrow"])
def test_missing_file(directory: Path, opened: Open, name: str) -> None:
    (directory / name).unlink()
    refused(opened, f"{name} is missing; copy or compile", verify=False)


def test_extra_file(directory: Path, opened: Open) -> None:
    (directory / "sha1.arrow").write_bytes(b"x")
    refused(opened, "sha1.arrow does not belong to list partner version 1", verify=False)


def test_missing_manifest(directory: Path, opened: Open, compiled: Compile) -> None:
    compiled("other", md5=VALUE)
    (directory / "list.json").unlink()
    refused(opened, "files of a list without their list.json")


def test_linked_list_is_not_passed_over(
    tmp_path: Path, directory: Path, opened: Open, compiled: Compile
) -> None:
    compiled("linked", 1, "elsewhere", md5=VALUE)
    (directory.parent / "linked-1").symlink_to(tmp_path / "elsewhere" / "linked-1")
    refused(opened, "linked-1: a link to a folder")


@pytest.mark.parametrize("name", ["md5", "phash", "domain", "url", "url.hosts", "entries"])
def test_flipped_byte(directory: Path, opened: Open, name: str) -> None:
    path = directory / f"{name}.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(opened, f"{name}.arrow has not the SHA-256 that list.json says; is damaged; copy")


@pytest.mark.parametrize("verify", [True, False])
def test_truncated_or_grown(directory: Path, opened: Open, verify: bool) -> None:
    path = directory / "md5.arrow"
    content = path.read_bytes()
    for changed in (content[:-1], b"", content + b"x"):
        path.write_bytes(changed)
        refused(opened, "md5.arrow (has|cannot)", verify=verify)


def test_restated_but_not_an_arrow_file(directory: Path, opened: Open) -> None:
    restate(directory, "md5.arrow", b"no arrow file")
    refused(opened, "md5.arrow is damaged", verify=False)


def test_wrong_width(directory: Path, opened: Open) -> None:
    restate(directory, "md5.arrow", table([bytes(15) + bytes([i]) * 2 for i in (1, 2)], [0, 1]))
    refused(opened, "md5.arrow has other columns or widths than its signal type", verify=False)


def test_other_count(directory: Path, opened: Open) -> None:
    restate(directory, "md5.arrow", table([bytes(15) + b"\1"], [0]))
    refused(opened, "md5.arrow holds 1 values, list.json says 3", verify=False)


def test_other_number_of_entries(directory: Path, opened: Open) -> None:
    restate(directory, entries=99)
    refused(opened, "entries.arrow holds 9 rows, list.json says 99", verify=False)


def test_unsorted(directory: Path, opened: Open) -> None:
    restate(directory, "md5.arrow", table([bytes(15) + bytes([i]) for i in (2, 1, 3)], [0, 1, 2]))
    refused(opened, "md5.arrow is not sorted")


def test_entry_out_of_range(directory: Path, opened: Open) -> None:
    restate(directory, "md5.arrow", table([bytes(15) + bytes([i]) for i in (1, 2, 3)], [0, 9, 2]))
    refused(opened, "md5.arrow names entries that are not there")


def test_nulls(directory: Path, opened: Open) -> None:
    values = pa.array([None, bytes(16)], pa.binary(16))
    batch = pa.RecordBatch.from_arrays(
        [values, pa.array([0, 1], pa.uint32())], schema=tables.values_schema(16)
    )
    restate(directory, "md5.arrow", to_ipc([batch]))
    refused(opened, "md5.arrow is damaged", verify=False)


def test_several_batches(directory: Path, opened: Open) -> None:
    array = np.zeros((1, 16), np.uint8)
    batch = tables.sorted_batch(SortedValues(array, np.zeros(1, np.uint32)))
    restate(directory, "md5.arrow", to_ipc([batch, batch]))
    refused(opened, "another number of record batches", verify=False)


def test_index_of_another_size(
    tmp_path: Path, compiled: Compile, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hamming, "INDEXED_FROM", 1)
    compiled(phash="01" * 8)
    assert sorted(opened().lists[0].indexes["phash"].heads.tolist()) == [0] * 4 + [1] * 4
    batch = pa.RecordBatch.from_arrays([pa.array([0], pa.uint32())], schema=tables.WORDS_SCHEMA)
    broken = to_ipc([batch] * 5)
    restate(tmp_path / "lists" / "partner-1", "phash.chunks.arrow", broken)
    refused(opened, "phash.chunks.arrow has not the size its list needs", verify=False)


def test_lists_of_form_1_0_find_the_same(
    tmp_path: Path, compiled: Compile, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hamming, "INDEXED_FROM", 1)
    arguments = {"phash": "01" * 8, "domain": "bad.com", "url": "http://page.example/a"}
    compiled(**arguments)
    column = pa.array(["http://x.bad.com/", "http://page.example/a?b", "http://a.com", "nonsense"])
    query = np.full((1, 8), 1, np.uint8)
    newer = opened()
    assert set(newer.lists[0].screens) == {"domain", "url", "url.hosts"}

    directory = tmp_path / "lists" / "partner-1"
    files = json.loads((directory / "list.json").read_bytes())["files"]
    for name in [name for name in files if name.endswith((".screen.arrow", ".chunks.arrow"))]:
        (directory / name).unlink()
        del files[name]
    restate(directory, format="1.0", files=files)
    older = opened()
    assert (older.lists[0].screens, older.lists[0].indexes) == ({}, {})
    matches = older.match_sources(column, "url")
    assert (matches.hits, matches.bad.tolist()) == (newer.match_sources(column, "url").hits, [3])
    assert list(matches.hits) == [0, 1]
    assert older.match_perceptual("phash", query, ["full"]) == newer.match_perceptual(
        "phash", query, ["full"]
    )


def words(*arrays: Any) -> bytes:
    batches = [
        pa.RecordBatch.from_arrays([pa.array(array, pa.uint32())], schema=tables.WORDS_SCHEMA)
        for array in arrays
    ]
    return to_ipc(batches)


@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("heads", 0, 3),  # beyond the hashes
        ("heads", 0, SHARED | 1),
        ("heads", -1, 0),  # another hash's
        ("shared", 0, 1),  # twice the same
        ("shared", 1, 1),  # without an end
        ("ranks", 0, 1),
        ("occupied", 0, 1 << 31),
    ],
)
def test_index_that_does_not_fit_its_hashes(
    tmp_path: Path,
    compiled: Compile,
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    place: int,
    value: int,
) -> None:
    """Hashes that no search would find any more, or reads beyond the end."""
    monkeypatch.setattr(hamming, "INDEXED_FROM", 1)
    compiled(phash=f"{'01' * 8}\n{'01' * 7}02")
    index = opened().lists[0].indexes["phash"]
    assert len(index.shared) == 6  # in three of four chunks, the list's own two are the same
    changed = getattr(index, part).copy()
    changed[place] = value
    content = words(*index._replace(**{part: changed}))
    restate(tmp_path / "lists" / "partner-1", "phash.chunks.arrow", content)
    refused(opened, "phash.chunks.arrow does not fit phash.arrow; copy the list again")


def test_index_of_another_number_of_hashes(
    tmp_path: Path, compiled: Compile, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hamming, "INDEXED_FROM", 1)
    compiled(phash=f"{'01' * 8}\n{'02' * 8}")
    other = indexing.build_index(np.eye(9, 8, dtype=np.uint8), 4)
    restate(tmp_path / "lists" / "partner-1", "phash.chunks.arrow", words(*other))
    refused(opened, "phash.chunks.arrow has not the size its list needs", verify=False)


@pytest.mark.parametrize("table", ["domain", "url", "url.hosts"])
def test_screen_that_holds_the_canary_alone(
    tmp_path: Path, compiled: Compile, opened: Open, table: str
) -> None:
    """The canary would be caught, and nothing else."""
    compiled(domain="bad.com", url="http://page.example/a")
    screen = opened().lists[0].screens[table].copy()
    taken = np.flatnonzero(screen)
    assert len(taken) == 2
    screen[taken[0]] = 0
    restate(tmp_path / "lists" / "partner-1", f"{table}.screen.arrow", words(screen))
    refused(opened, f"{table}.screen.arrow does not fit {table}.arrow; copy the list again")


def test_screen_without_an_empty_place(tmp_path: Path, compiled: Compile, opened: Open) -> None:
    compiled(domain="bad.com")
    path = tmp_path / "lists" / "partner-1"
    restate(path, "domain.screen.arrow", words(np.arange(1, 17)))
    refused(opened, "domain.screen.arrow does not fit domain.arrow")
    column = pa.array(["http://fine.com/"])
    assert opened(verify=False).match_sources(column, "url").hits == {}


def test_screen_of_another_size(tmp_path: Path, compiled: Compile, opened: Open) -> None:
    compiled(domain="bad.com")
    batch = pa.RecordBatch.from_arrays(
        [pa.array([0] * 24, pa.uint32())], schema=tables.WORDS_SCHEMA
    )
    broken = to_ipc([batch])
    restate(tmp_path / "lists" / "partner-1", "domain.screen.arrow", broken)
    refused(opened, "domain.screen.arrow has not the size of a screen", verify=False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"format": "2.0"}, "compiled form 2.0, this program reads 1.1"),
        ({"format": 1}, "not the list.json of a compiled list"),
        ({"counts": {}}, "the list is empty"),
        ({"counts": {"md5": 0}}, "counts.md5: Input should be greater than 0"),
        ({"counts": {"unheard": 1}}, "no signal type 'unheard'.*install the plug-in"),
        ({"counts": 5}, "counts: Input should be an object"),
        ({"counts": None}, "counts: Input should be an object"),
        ({"counts": ["md5"]}, "counts: Input should be an object"),
        ({"entries": 0}, "entries: Input should be greater than 0"),
        ({"id": "../x"}, "id: String should match"),
        ({"version": 0}, "version: Input should be greater than 0"),
        ({"version": "1"}, "version: Input should be a valid integer"),
        ({"action": "ignore"}, "action: Input should be 'quarantine' or 'observe'"),
        ({"thresholds": {}}, "no threshold for phash"),
        (
            {"thresholds": {"phash": 40}},
            "a threshold of 40 for phash, wants one from 0 to 32",
        ),
        ({"issued": "yesterday"}, "issued: Input should be a valid datetime"),
        ({"issued": "2025-01-01T00:00:00"}, "issued: Input should have timezone"),
        ({"files": {}}, "does not belong to list partner"),
    ],
)
def test_manifest_is_refused(
    directory: Path, opened: Open, fields: dict[str, Any], reason: str
) -> None:
    restate(directory, **fields)
    refused(opened, reason)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"text"', b"{}", b"[" * 100_000])
def test_not_a_manifest(directory: Path, opened: Open, content: bytes) -> None:
    (directory / "list.json").write_bytes(content)
    refused(opened, "list.json: not ")


def test_newer_minor_version_with_new_fields_is_read(directory: Path, opened: Open) -> None:
    restate(directory, format="1.7", remarks="new")
    assert opened().infos[0].format == "1.7"


def test_expired(compiled: Compile, opened: Open) -> None:
    expires = ISSUED + timedelta(days=30)
    compiled(md5=VALUE, expires=expires)
    assert opened(now=expires)
    refused(opened, "expired on 2025-01-31.*get the partner's", now=expires + timedelta(seconds=1))
    refused(opened, "expired", now=expires + timedelta(days=365), verify=False)


def test_issued_in_the_future(compiled: Compile, opened: Open) -> None:
    compiled(md5=VALUE)
    refused(opened, "issued in the future", now=ISSUED - timedelta(seconds=1))


def test_expired_list_is_not_replaced_by_an_older_one(compiled: Compile, opened: Open) -> None:
    compiled("a", 1, md5=VALUE)
    compiled("a", 2, md5=VALUE, expires=ISSUED + timedelta(days=1))
    refused(opened, "list a version 2 expired", now=ISSUED + timedelta(days=2))


def test_same_version_twice(compiled: Compile, opened: Open) -> None:
    compiled("a", 1, "lists/x", md5=VALUE)
    compiled("a", 1, "lists/y", md5=OTHER)
    refused(opened, "list a version 1 lies in .* as well; remove one")


def test_other_lists_than_expected(compiled: Compile, opened: Open) -> None:
    compiled("a", 1, md5=VALUE)
    digest = opened().digest
    compiled("a", 2, md5=VALUE)
    refused(opened, "not those the run began with", verify=False, expected_digest=digest)


def test_manifest_cannot_claim_to_be_signed(directory: Path, opened: Open) -> None:
    restate(directory, signed_by=["key"], digest="0" * 64)
    info = opened().infos[0]
    assert info.signed_by == ()
    assert info.digest != "0" * 64


def test_overrides(directory: Path, opened: Open) -> None:
    override = ListOverride(action="observe", thresholds={"phash": 3})
    lists = opened(overrides={"partner": override})
    (info,) = lists.infos
    assert info.action is Action.OBSERVE
    assert info.thresholds == {"phash": 3}
    assert lists.digest == opened().digest
    (finding,) = lists.match_digest("md5", VALUE, "content")
    assert finding.action == "observe"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"nobody": ListOverride()}, "list 'nobody', which is not there; there are partner"),
        ({"partner": ListOverride(action="drop")}, "action 'drop' is none of"),
        ({"partner": ListOverride(thresholds={"pdq": 3})}, "a threshold for pdq, of which"),
        (
            {"partner": ListOverride(thresholds={"phash": 33})},
            "the policy gives a threshold of 33 for phash",
        ),
        (
            {"partner": ListOverride(thresholds={"md5": 1})},
            "a threshold of 1 for md5, which is compared",
        ),
    ],
)
def test_overrides_that_do_not_fit(
    directory: Path, opened: Open, overrides: dict[str, ListOverride], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        opened(overrides=overrides)


def test_time_without_zone(directory: Path, opened: Open) -> None:
    with pytest.raises(UsageError, match="now needs a time zone"):
        opened(now=datetime(2025, 1, 1))  # noqa: DTZ001
