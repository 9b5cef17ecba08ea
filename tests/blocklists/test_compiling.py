import json
import random
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingestgate.assets.errors import ListError, UsageError
from ingestgate.assets.storage.paths import temporary_name
from ingestgate.assets.verdict import Action
from ingestgate.blocklists import compiling, hamming
from ingestgate.blocklists.building import build
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.entries import Entry
from ingestgate.blocklists.signals import signal_type

ISSUED = datetime(2025, 1, 1, tzinfo=UTC)


def rows(signal: str, count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    width = signal_type(signal).width
    return [f"{rng.randbytes(width).hex()},{signal}-{i % 50},{'AB'[i % 2]}" for i in range(count)]


def write(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(["value,entry_id,category", *lines]) + "\n")
    return str(path)


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_same_entries_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    lines = {signal: rows(signal, 200) for signal in ("md5", "sha1", "pdq", "phash")}
    lines["domain"] = [f"d{i}.example,d{i}," for i in range(100)]
    lines["url"] = [f"http://h{i % 7}.example/{i},u{i}," for i in range(100)]
    made = []
    for attempt in range(3):
        sources = []
        for signal, those in lines.items():
            random.Random(attempt).shuffle(those)
            doubled = those + those[:20] * attempt  # and repeated entries do not count
            sources.append((signal, write(tmp_path / f"{attempt}.{signal}.csv", doubled)))
        random.Random(attempt).shuffle(sources)
        to = tmp_path / str(attempt)
        compile_list(id="a", version=1, sources=sources, to=str(to), issued=ISSUED)
        made.append(content(to / "a-1"))
    assert made[0] == made[1] == made[2]
    counts = json.loads(made[0]["list.json"])["counts"]
    assert counts == {name: len(those) + 1 for name, those in lines.items()}  # and a canary


def test_directory_and_files_are_private(tmp_path: Path, compiled: Any) -> None:
    compiled(md5="0123456789abcdef0123456789abcdef")
    directory = tmp_path / "lists" / "partner-1"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    assert {path.name for path in directory.iterdir()} == {
        "list.json",
        "entries.arrow",
        "md5.arrow",
    }


def test_sources_are_stored_hashed(tmp_path: Path, compiled: Any) -> None:
    compiled(domain="hidden.example", url="http://other.example/hidden")
    for raw in content(tmp_path / "lists" / "partner-1").values():
        assert b"hidden" not in raw
        assert b"other" not in raw


def test_list_says_what_it_was_told(compiled: Any) -> None:
    info = compiled(
        pdq="01" * 32,
        issued=datetime(2025, 1, 1, 2, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
        expires=ISSUED + timedelta(days=9),
        partner="P",
        thresholds={"pdq": 20},
        action="observe",
        domain_scope="exact",
    )
    assert (info.id, info.version, info.partner, info.issued) == ("partner", 1, "P", ISSUED)
    assert info.expires == ISSUED + timedelta(days=9)
    assert info.listed == {"pdq": 1}
    assert info.counts == {"pdq": 2}  # the canary
    assert info.canaries == {"pdq": ("canary:pdq",)}
    assert info.thresholds == {"pdq": 20}
    assert info.action is Action.OBSERVE
    assert info.domain_scope == "exact"
    assert len(info.digest) == 64


def test_default_thresholds_are_written_down(compiled: Any) -> None:
    assert compiled(pdq="01" * 32, phash="01" * 8, md5="01" * 16).thresholds == {
        "pdq": 31,
        "phash": 6,
    }


def test_compiling_again_changes_nothing_and_repairs(tmp_path: Path, compiled: Any) -> None:
    first = compiled(md5="01" * 16)
    directory = tmp_path / "lists" / "partner-1"
    before = content(directory)
    (directory / "md5.arrow").unlink()
    assert compiled(md5="01" * 16) == first
    assert content(directory) == before


def test_other_content_under_the_same_version_is_refused(tmp_path: Path, compiled: Any) -> None:
    compiled(md5="01" * 16)
    before = content(tmp_path / "lists" / "partner-1")
    with pytest.raises(ListError, match="list partner version 1 is there already") as caught:
        compiled(md5="02" * 16)
    assert "02" * 16 not in str(caught.value)
    assert content(tmp_path / "lists" / "partner-1") == before


def test_second_file_of_a_type_has_ids_of_its_own(tmp_path: Path) -> None:
    for name, value in (("a", "01"), ("b", "02")):
        (tmp_path / name).write_text(value * 16)
    sources = [("md5", str(tmp_path / "a")), ("md5", str(tmp_path / "b"))]
    info = compile_list(id="l", version=1, sources=sources, to=str(tmp_path / "to"), issued=ISSUED)
    assert (info.listed, info.entries) == ({"md5": 2}, 3)


def test_large_perceptual_lists_carry_an_index(
    tmp_path: Path, compiled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hamming, "INDEXED_FROM", 3)
    info = compiled(pdq=f"{'01' * 32}\n{'02' * 32}", phash="01" * 8)
    assert "pdq.chunks.arrow" in info.files
    assert "phash.chunks.arrow" not in info.files


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"version": 0}, "version"),
        ({"id": "a/b"}, "list id"),
        ({"id": ".."}, "list id"),
        ({"id": "a\n"}, "list id"),
        ({"sources": []}, "no source given"),
        ({"action": "delete"}, "action 'delete' is none of quarantine, observe"),
        ({"issued": datetime(2025, 1, 1)}, "issued needs a time zone"),  # noqa: DTZ001
        ({"expires": ISSUED}, "it expires before it is issued"),
        ({"thresholds": {"pdq": 3}}, "a threshold for pdq, of which the list holds nothing"),
        ({"thresholds": {"md5": 1}}, "a threshold of 1 for md5, which is compared bit for bit"),
        ({"domain_scope": "all"}, "domain_scope"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, arguments: dict[str, Any], reason: str) -> None:
    source = tmp_path / "md5.txt"
    source.write_text("01" * 16)
    options: dict[str, Any] = {
        "id": "a",
        "version": 1,
        "sources": [("md5", str(source))],
        "to": str(tmp_path / "to"),
        "issued": ISSUED,
    }
    with pytest.raises(UsageError, match=reason):
        compile_list(**{**options, **arguments})
    assert not (tmp_path / "to").exists()


def test_of_two_at_once_one_is_refused(
    tmp_path: Path, compiled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables_of = compiling._tables

    def with_another(*arguments: Any) -> Any:
        monkeypatch.setattr(compiling, "_tables", tables_of)
        with pytest.raises(ListError, match="partner-1: another change is under way there; wait"):
            compiled(md5="89" * 16)
        return tables_of(*arguments)

    monkeypatch.setattr(compiling, "_tables", with_another)
    compiled(md5="01" * 16)
    written = content(tmp_path / "lists" / "partner-1")
    compiled(md5="01" * 16)
    assert content(tmp_path / "lists" / "partner-1") == written


def test_what_a_killed_one_left_is_removed(tmp_path: Path, compiled: Any) -> None:
    directory = tmp_path / "lists" / "partner-1"
    directory.mkdir(parents=True)
    left = Path(temporary_name(str(directory / "entries.arrow")))
    left.write_bytes(b"half")
    compiled(md5="01" * 16)
    assert not left.exists()


@pytest.mark.parametrize("threshold", [-1, 129])
def test_threshold_out_of_range(compiled: Any, threshold: int) -> None:
    with pytest.raises(
        UsageError,
        match=f"list partner: a threshold of {threshold} for pdq, wants one from 0 to 128",
    ):
        compiled(pdq="01" * 32, thresholds={"pdq": threshold})


def test_build_sorts_by_value_then_entry_and_drops_what_is_there_twice() -> None:
    signal = signal_type("sha1")  # 20 bytes: not a whole number of 8-byte words
    values = [bytes(19) + b"\x02", b"\x01" + bytes(19), bytes(19) + b"\x01"]
    entries = [Entry(v, i, "") for v in values for i in ("b", "a", "b")]
    content = build([(signal, entries)])
    table = content.values["sha1"]
    order = [values[2]] * 2 + [values[0]] * 2 + [values[1]] * 2
    assert [row.tobytes() for row in table.values] == order
    assert table.entries.tolist() == [0, 1] * 3
    assert content.entries.column(0).to_pylist() == ["a", "b"]
    assert table.values.dtype == np.uint8
