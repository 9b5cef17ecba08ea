"""Each format through the command line: what is caught, what stays, and how it stays."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets.containers import folder_index
from ingestgate.assets.signing_keys import generate_signing_key
from tests.archives import make_tar, special
from tests.e2e.conftest import (
    CAUGHT,
    LISTED_HOST,
    LISTED_MD5,
    SAMPLES,
    WRITERS,
    Job,
    content,
    url,
)
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


def keys(rows: list[dict[str, Any]]) -> dict[str, tuple[str, str, str]]:
    """Decisions by sample key, whatever the format."""
    found = {}
    for row in rows:
        key = dict(row["provenance"]).get("key") or Path(row["member"]).name.split(".")[0]
        found[key] = (row["verdict"], row["reason"], row["tier"])
    return found


@pytest.mark.parametrize("format", list(WRITERS))
def test_matches_are_sealed_and_the_rest_is_admitted(
    job: MakeJob, tmp_path: Path, format: str
) -> None:
    gate = job(WRITERS[format](tmp_path / "landing"))
    report = gate.report()
    assert report["counts"] == {"admitted": SAMPLES - 3, "quarantined": 3, "unscannable": 0}
    assert report["tiers"] == {"exact": 1, "near": 1, "source": 1}
    decided = keys(gate.ledger())
    assert {k: v[2] for k, v in decided.items() if v[0] == "quarantined"} == CAUGHT
    assert gate.census()["exact"]
    manifest = {
        dict(row["provenance"]).get("key") or row["sample"].split(".")[0]: row
        for row in gate.manifest()
    }
    assert len(manifest) == 3
    for row in manifest.values():
        assert (gate.quarantine / row["sealed_object"]).stat().st_mode & 0o777 == 0o600
        assert row["provenance"]["url"].startswith("https://img.")


def test_all_formats_decide_alike(job: MakeJob, tmp_path: Path) -> None:
    decided = []
    for format, write in WRITERS.items():
        gate = job(write(tmp_path / f"landing-{format}")).elsewhere(f"job-{format}")
        gate.report()
        decided.append(keys(gate.ledger()))
    assert decided[0] == decided[1] == decided[2]


def test_a_sealed_sample_opens_with_the_key_and_holds_what_was_taken_out(
    job: MakeJob, tmp_path: Path
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    row = next(row for row in gate.manifest() if row["member"] == "k03.jpg")
    opened = gate.invoke(
        *("quarantine", "open", "--quarantine", str(gate.quarantine)),
        *("--identity", gate.identity, "--to", str(tmp_path / "opened"), row["asset_id"][:10]),
    )
    assert opened.exit_code == 0, opened.output
    folder = tmp_path / "opened" / row["asset_id"]
    assert (folder / "k03.jpg").read_bytes() == content(3)
    assert json.loads((folder / "k03.json").read_text())["url"] == url(3)


def test_an_untouched_shard_passes_byte_for_byte(job: MakeJob, tmp_path: Path) -> None:
    WRITERS["webdataset"](tmp_path / "landing")
    clean = make_tar([(f"c{n}.jpg", jpeg(50 + n)) for n in range(3)]) + bytes(4096)
    (tmp_path / "landing" / "99999.tar").write_bytes(clean)
    gate = job(str(tmp_path / "landing"))
    gate.report()
    assert (gate.output / "99999.tar").read_bytes() == clean
    original = (tmp_path / "landing" / "99999.tar").stat()
    assert (gate.output / "99999.tar").stat().st_mtime_ns == original.st_mtime_ns
    assert not [row for row in gate.manifest() if row["shard"] == "99999.tar"]


def test_what_stays_of_a_tar_keeps_order_names_and_times(job: MakeJob, tmp_path: Path) -> None:
    pattern = WRITERS["webdataset"](tmp_path / "landing")
    gate = job(pattern)
    gate.report()

    def members(path: Path) -> list[tuple[Any, ...]]:
        with tarfile.open(path) as tar:
            return [
                (m.name, m.mtime, m.mode, m.uid, m.uname, tar.extractfile(m).read())  # type: ignore[union-attr]
                for m in tar
            ]

    for name in ("00000.tar", "00001.tar"):
        before = members(tmp_path / "landing" / name)
        after = [member for member in before if member[0].split(".")[0] not in CAUGHT]
        assert members(gate.output / name) == after


def test_one_match_takes_its_whole_sample_and_skipped_members_are_held(
    job: MakeJob, tmp_path: Path
) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.tar").write_bytes(
        make_tar(
            [
                ("pair.0.jpg", jpeg(60)),
                ("pair.1.jpg", content(5)),
                ("pair.txt", b"two pictures"),
                ("README", b"readers skip this"),
                special("link.jpg", tarfile.SYMTYPE, "pair.0.jpg"),
                ("alone.jpg", jpeg(61)),
                ("alone.txt", jpeg(62)),  # a picture under a caption's name
                ("broken.jpg", jpeg(63)[:500]),
            ]
        )
    )
    gate = job(str(tmp_path / "landing" / "a.tar"))
    gate.report()
    assert {row["member"]: (row["verdict"], row["reason"]) for row in gate.ledger()} == {
        "pair.0.jpg": ("quarantined", "companion_matched"),
        "pair.1.jpg": ("quarantined", "matched"),
        "README": ("unscannable", "skipped_by_readers"),
        "link.jpg": ("unscannable", "skipped_by_readers"),
        "alone.jpg": ("admitted", "clean"),
        "alone.txt": ("admitted", "clean"),
        "broken.jpg": ("unscannable", "truncated"),
    }
    with tarfile.open(gate.output / "a.tar") as tar:
        assert tar.getnames() == ["alone.jpg", "alone.txt"]
    assert {row["member"] for row in gate.manifest()} == {"pair.0.jpg", "pair.1.jpg"}
    assert gate.census()["exact"]


def test_parquet_keeps_its_structure_and_loads_with_datasets(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = WRITERS["parquet"](tmp_path / "landing")
    gate = job(pattern)
    gate.report()
    before = pq.read_table(tmp_path / "landing" / "train.parquet")
    path = gate.output / "train.parquet"
    after = pq.read_table(path)
    assert after.schema.equals(before.schema, check_metadata=True)
    kept = [row for row in before.to_pylist() if row["key"] not in CAUGHT]
    assert after.to_pylist() == kept
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(n).num_rows for n in range(3)] == [3, 2, 4]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded["key"][:] == [row["key"] for row in kept]
    assert loaded[0]["image"].size == (160, 120)


def test_img2dataset_trio_stays_consistent(job: MakeJob, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    original = hashlib.sha256(b"what was downloaded").hexdigest()
    rows, items = [], []
    for seed in range(8):
        key = f"{seed:09d}"
        ok = seed != 6
        host = f"img.{LISTED_HOST}" if seed in (2, 6) else "fine.example"
        source = f"https://{host}/{seed}"
        digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest() if ok else None
        rows.append(
            {
                "url": source,
                "key": key,
                "status": "success" if ok else "failed_to_download",
                "error_message": None if ok else "HTTP Error 404",
                "md5": LISTED_MD5 if seed == 4 else digest,
                "width": 160 if ok else None,
            }
        )
        if ok:
            text = json.dumps({"url": source, "key": key, "sha256": original}).encode()
            items += [(f"{key}.jpg", jpeg(70 + seed)), (f"{key}.json", text)]
    (landing / "00000.tar").write_bytes(make_tar(items))
    pq.write_table(pa.Table.from_pylist(rows), landing / "00000.parquet")
    stats = {
        "count": 8,
        "successes": 7,
        "failed_to_download": 1,
        "failed_to_resize": 0,
        "duration": 1.5,
        "status_dict": {"success": 7, "HTTP Error 404": 1},
    }
    (landing / "00000_stats.json").write_text(json.dumps(stats))
    gate = job(str(landing / "*.tar"))
    report = gate.report()
    # Row 2 and the failed row 6 by source, row 4 by the digest of what was downloaded.
    assert report["counts"] == {"admitted": 5, "quarantined": 3, "unscannable": 0}
    left = [f"{n:09d}" for n in (0, 1, 3, 5, 7)]
    with tarfile.open(gate.output / "00000.tar") as tar:
        assert [m.name for m in tar if m.name.endswith("jpg")] == [f"{key}.jpg" for key in left]
    table = pq.read_table(gate.output / "00000.parquet")
    assert table["key"].to_pylist() == left
    after = json.loads((gate.output / "00000_stats.json").read_text())
    assert after == stats | {
        "count": 5,
        "successes": 5,
        "failed_to_download": 0,
        "status_dict": {"success": 5},
    }
    view = next(row for row in gate.ledger() if row["member"] == f"{4:09d}.jpg")["findings"][0]
    assert (view["signal_type"], view["view"]) == ("md5", "declared:md5")
    assert gate.census()["exact"]


def _manifest_rows() -> list[dict[str, str]]:
    return [
        {
            "url": f"https://x.{LISTED_HOST if seed in (2, 9) else 'fine.example'}/a,\n{seed}",
            "text": 'a "caption",\nin two lines' if seed % 2 else "plain",
            "md5": LISTED_MD5.upper() if seed == 4 else "",
        }
        for seed in range(12)
    ]


def _write_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["url", "text", "md5"])
        writer.writeheader()
        writer.writerows(_manifest_rows())


def _write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in _manifest_rows()))


def _write_url_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(_manifest_rows()), path, row_group_size=5)


@pytest.mark.parametrize(
    ("name", "write"),
    [("u.csv", _write_csv), ("u.jsonl", _write_jsonl), ("u.parquet", _write_url_parquet)],
)
def test_url_manifests_are_filtered_and_nothing_is_fetched(
    job: MakeJob, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    (tmp_path / "landing").mkdir()
    write(tmp_path / "landing" / name)
    gate = job(str(tmp_path / "landing" / name))
    report = gate.report()
    assert report["counts"] == {"admitted": 9, "quarantined": 3, "unscannable": 0}
    kept = [row for n, row in enumerate(_manifest_rows()) if n not in (2, 4, 9)]
    out = gate.output / name
    if name == "u.parquet":
        assert pq.read_table(out).to_pylist() == kept
    elif name == "u.csv":
        assert list(csv.DictReader(io.StringIO(out.read_bytes().decode(), newline=""))) == kept
    else:
        assert [json.loads(line) for line in out.read_text().splitlines()] == kept
    assert [row["member"] for row in gate.manifest()] == ["2", "4", "9"]
    assert gate.census()["exact"]


def _write_empty_shards(landing: Path) -> list[str]:
    """A shard of each kind that holds nothing, two with an empty row group among full ones."""
    landing.mkdir()
    (landing / "a.tar").write_bytes(make_tar([]))
    (landing / "b.csv").write_text("url\n")
    (landing / "c.jsonl").write_text("")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), landing / "d.parquet")
    pq.write_table(pa.table({"url": pa.array([], pa.string())}), landing / "e.parquet")
    for name, host in (("f.parquet", "fine.example"), ("g.parquet", LISTED_HOST)):
        clean = pa.table({"url": [f"https://fine.example/{n}" for n in range(3)]})
        other = pa.table({"url": [f"https://{host}/{n}" for n in range(3)]})
        with pq.ParquetWriter(landing / name, clean.schema) as writer:
            for table in (clean, clean.slice(0, 0), other):
                writer.write_table(table)
    return sorted(path.name for path in landing.iterdir())


def test_what_holds_nothing_is_done_and_can_be_certified(job: MakeJob, tmp_path: Path) -> None:
    names = _write_empty_shards(tmp_path / "landing")
    gate = job(str(tmp_path / "landing" / "*"))
    generate_signing_key(str(tmp_path / "key"))
    (tmp_path / "policy.yaml").write_text("range_bytes: 1\n")
    how = ("--policy", str(tmp_path / "policy.yaml"), "--certificate-key", str(tmp_path / "key"))
    report = gate.report(*how)
    assert report["counts"] == {"admitted": 9, "quarantined": 3, "unscannable": 0}
    assert report["shards"]["done"] == len(names)
    assert report["certificate"]
    for name in names[:-1]:
        expected = (tmp_path / "landing" / name).read_bytes()
        assert (gate.output / name).read_bytes() == expected, name
    assert gate.census()["exact"], gate.results[-1].output
    assert gate.report(*how)["shards"]["finished_before"] == len(names)


def test_metadata_of_pictures_that_are_all_quarantined(job: MakeJob, tmp_path: Path) -> None:
    hosts = {"a": LISTED_HOST, "b": "fine.example", "c": LISTED_HOST, "d": LISTED_HOST}
    rows = {
        name: json.dumps({"file_name": "x.jpg", "url": f"https://{host}/x"})
        for name, host in hosts.items()
    }
    lines = {"a": "a\n", "b": "b\n", "c": "c\n\n", "d": "\ufeffd\n"}  # d has a byte order mark
    for name, line in lines.items():
        folder = tmp_path / "landing" / name
        folder.mkdir(parents=True)
        (folder / "x.jpg").write_bytes(jpeg(80 + ord(name)))
        (folder / "metadata.jsonl").write_text(line.replace(name, rows[name]), "utf-8")
    (tmp_path / "landing" / "c" / "metadata.jpg").write_bytes(jpeg(79))  # the rows are no caption
    gate = job(str(tmp_path / "landing"))
    assert gate.report()["counts"] == {"admitted": 2, "quarantined": 3, "unscannable": 0}
    left = {
        str(path.relative_to(gate.output / "landing")): path.read_bytes()
        for path in (gate.output / "landing").rglob("*.jsonl")
    }
    assert {name: content.strip() for name, content in left.items()} == {
        "a/metadata.jsonl": b"",
        "b/metadata.jsonl": rows["b"].encode(),
        "c/metadata.jsonl": b"",
        "d/metadata.jsonl": "\ufeff".encode(),
    }
    assert gate.census()["exact"], gate.results[-1].output
    # What the input has no such rows for is counted as ever.
    (gate.output / "landing" / "metadata.jsonl").write_bytes(b"")
    folder_index._listing.cache_clear()
    folder_index._index.cache_clear()
    assert not gate.census()["exact"], "an empty file that nobody admitted"


def test_flat_pictures_are_held_unless_policy_lets_exact_checks_suffice(
    job: MakeJob, tmp_path: Path
) -> None:
    import numpy as np
    from PIL import Image

    from tests.pictures import encoded

    (tmp_path / "landing").mkdir()
    flat = encoded(Image.fromarray(np.full((64, 64), 99, np.uint8)), "PNG")
    (tmp_path / "landing" / "flat.png").write_bytes(flat)
    gate = job(str(tmp_path / "landing"))
    assert gate.report()["reasons"] == {"low_quality": 1}
    (tmp_path / "policy.yaml").write_text("low_quality: exact_checks_suffice\n")
    report = gate.report("--policy", str(tmp_path / "policy.yaml"))
    assert report["reasons"] == {"clean": 1}
    assert (gate.output / "landing" / "flat.png").read_bytes() == flat
