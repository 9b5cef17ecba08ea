"""What matched leaves the landing zone, and all still adds up."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.signing_keys import generate_signing_key
from tests.archives import make_tar
from tests.e2e.conftest import CAUGHT, SAMPLES, WRITERS, Job, content, on_store, url
from tests.e2e.purge.conftest import KEYS, admitted_by, keys, landing, purged, write_caught

MakeJob = Callable[..., Job]


@pytest.mark.parametrize("format", list(WRITERS))
def test_what_matched_goes_and_everything_still_adds_up(
    job: MakeJob, tmp_path: Path, format: str
) -> None:
    gate = job(WRITERS[format](tmp_path / "landing"))
    gate.report()
    before, admitted = landing(tmp_path / "landing"), admitted_by(gate)
    manifest, counts = gate.manifest(), gate.census()["counts"]

    would = purged(gate, "--dry-run")
    assert (would["assets"], would["dry_run"]) == (3, True)
    assert landing(tmp_path / "landing") == before
    assert not list(gate.evidence.glob("purg*"))

    done = purged(gate)
    assert done["assets"] == 3
    assert keys(tmp_path / "landing", format) == KEYS - set(CAUGHT)
    assert landing(tmp_path / "landing") == admitted, "nothing was unscannable: the same bytes"
    assert not list((tmp_path / "landing").rglob("*.partial"))

    found = gate.census()
    assert found["exact"], found["problems"]
    assert (found["counts"], found["purged"]) == (counts, 3)

    again = purged(gate)
    assert {each["outcome"] for each in again["shards"]} <= {"purged_before", "nothing_to_purge"}
    report = gate.report()
    assert report["shards"]["done"] == 0, "a purged shard is finished"
    assert report["counts"]["quarantined"] == 3
    assert admitted_by(gate) == admitted

    # Judged anew, from what is there now, it is the same training set.
    gate.report("--no-resume")
    assert admitted_by(gate) == admitted
    assert gate.manifest() == manifest, "what was quarantined stays on record"
    found = gate.census()
    assert found["exact"], found["problems"]
    assert (found["inputs"], found["purged"]) == (SAMPLES - 3, 0)


def test_the_trio_and_a_url_manifest(job: MakeJob, tmp_path: Path) -> None:
    import pyarrow as pa

    (tmp_path / "trio").mkdir()
    items: list[tuple[str, bytes | None]] = []
    rows = []
    for seed in range(SAMPLES):
        items += [(f"k{seed:02d}.jpg", content(seed))]
        row = {"key": f"k{seed:02d}", "status": "success", "error_message": None, "url": url(seed)}
        rows.append(row)
    (tmp_path / "trio" / "00000.tar").write_bytes(make_tar(items))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "trio" / "00000.parquet")
    stats = {"count": SAMPLES, "successes": SAMPLES, "failed_to_download": 0}
    (tmp_path / "trio" / "00000_stats.json").write_text(json.dumps(stats))
    (tmp_path / "urls").mkdir()
    lines = [json.dumps({"url": url(seed)}) + "\n" for seed in range(SAMPLES)]
    (tmp_path / "urls" / "a.jsonl").write_text("".join(lines))
    for name, pattern, count in (("trio", "trio/*.tar", 3), ("urls", "urls/*.jsonl", 1)):
        gate = job(str(tmp_path / pattern)).elsewhere(f"job-{name}")
        gate.report()
        assert purged(gate)["assets"] == count
        found = gate.census()
        assert found["exact"], found["problems"]
        assert gate.report()["shards"]["done"] == 0
    left = pq.read_table(tmp_path / "trio" / "00000.parquet")["key"].to_pylist()
    assert set(left) == KEYS - set(CAUGHT)
    with tarfile.open(tmp_path / "trio" / "00000.tar") as tar:
        assert {name.split(".")[0] for name in tar.getnames()} == set(left)
    assert json.loads((tmp_path / "trio" / "00000_stats.json").read_text())["successes"] == 9
    assert (tmp_path / "urls" / "a.jsonl").read_text() == "".join(lines[:7] + lines[8:])


def test_receipts_are_signed_where_there_is_a_key(job: MakeJob, tmp_path: Path) -> None:
    import base64

    from ingestgate.assets.errors import EvidenceError
    from ingestgate.assets.purges import PAYLOAD_TYPE
    from ingestgate.assets.signing_keys import parse_public_line

    line = generate_signing_key(str(tmp_path / "key.pem"))
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    purged(gate, "--key", str(tmp_path / "key.pem"))
    paths = sorted((gate.evidence / "purged").glob("*.dsse.json"))
    assert len(paths) == 2
    for path in paths:
        envelope = Envelope.read(str(path), PAYLOAD_TYPE, EvidenceError)
        assert envelope is not None
        assert envelope.signers({"operator": parse_public_line(line)}) == ("operator",)
    said = json.loads(base64.b64decode(json.loads(paths[0].read_text())["payload"]))
    assert sorted(said["assets"]) == sorted(
        row["asset_id"] for row in gate.manifest() if row["shard"] == "00000.tar"
    )
    # One that was tampered with vouches for nothing.
    paths[0].write_text("{}")
    assert not gate.census()["exact"]
    assert gate.run().exit_code == 5


def test_what_is_added_after_a_purge_is_judged(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["folder"](tmp_path / "landing"))
    gate.report()
    purged(gate)
    (tmp_path / "landing" / "new.jpg").write_bytes(content(3))
    assert gate.census()["problems"] == ["landing: no receipt for the shard as it is now"]
    assert gate.report()["counts"]["quarantined"] == 1
    assert purged(gate)["assets"] == 1
    assert not (tmp_path / "landing" / "new.jpg").exists()
    assert gate.census()["exact"]


def test_a_folder_in_which_everything_matched(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_caught(tmp_path / "landing" / "photos"))
    gate.report()
    assert gate.census()["exact"], gate.census()["problems"]
    assert purged(gate)["assets"] == 1
    assert not list((tmp_path / "landing/photos").glob("*.jpg"))
    found = gate.census()
    assert found["exact"], found["problems"]
    assert (found["shards"], found["purged"]) == (1, 1)
    assert [each["outcome"] for each in purged(gate)["shards"]] == ["purged_before"]
    assert gate.report()["shards"]["done"] == 0, "a purged shard is finished"
    gate.report("--no-resume")
    found = gate.census()
    assert found["exact"], found["problems"]
    assert (found["inputs"], found["purged"]) == (0, 0)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_a_metadata_file_of_which_no_row_is_left(job: MakeJob, tmp_path: Path, mark: str) -> None:
    folder = Path(write_caught(tmp_path / "landing" / "photos"))
    (folder / "k00.jpg").write_bytes(content(0))
    row = '{"file_name": "k03.jpg", "text": "a caption"}\n'
    (folder / "metadata.jsonl").write_text(mark + row, "utf-8")
    gate = job(str(folder))
    gate.report()
    assert gate.census()["exact"], gate.census()["problems"]
    assert purged(gate)["assets"] == 1
    assert (folder / "metadata.jsonl").read_bytes() == mark.encode()
    found = gate.census()
    assert found["exact"], found["problems"]
    assert (found["inputs"], found["purged"]) == (2, 1)
    assert gate.report("--no-resume")["counts"]["admitted"] == 1
    assert gate.census()["exact"], gate.census()["problems"]


@pytest.mark.parametrize("member", ["link", "too large"])
def test_what_was_not_sealed_of_a_folder_is_not_recorded_as_purged(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    folder = Path(write_caught(tmp_path / "landing" / "photos"))
    (folder / "k00.jpg").write_bytes(content(0))
    if member == "link":
        (folder / "k03.txt").symlink_to("k00.jpg")
        extra = "k03.txt"
    else:
        (folder / "k03.jpg").rename(folder / "large.jpg")
        extra = "large.jpg"
        monkeypatch.setattr("ingestgate.assets.containers.image_folder.MOST_SAMPLE_BYTES", 1)
        (folder / "metadata.jsonl").write_text(f'{{"file_name": "{extra}", "url": "{url(7)}"}}\n')
    gate = job(str(folder))
    gate.report()
    before = landing(folder)
    for option in ("--dry-run", "--json"):
        (refused,) = purged(gate, option, code=5)["shards"]
        assert refused["outcome"] == "refused"
        assert f"{extra} is of a sample that would go" in refused["problem"]
        assert "it was not sealed. Take it out by hand, run again" in refused["problem"]
        assert (landing(folder), (folder / extra).exists()) == (before, True)
    assert not list(gate.evidence.glob("purg*"))
    assert gate.census()["exact"], gate.census()["problems"]
    if member == "link":
        (folder / extra).unlink()
        gate.report()
        assert purged(gate)["assets"] == 1
        assert gate.census()["exact"], gate.census()["problems"]


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
def test_a_folder_in_which_everything_matched_on_a_store(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    pattern = write_caught(tmp_path / "landing")
    bucket = f"{scheme}://bucket"
    here, where, run = on_store(job, pattern, tmp_path, monkeypatch, bucket)
    done = here.invoke(*run)
    assert done.exit_code == 0, done.output
    assert here.invoke("purge", *where).exit_code == 0
    assert storage.walk(f"{bucket}/landing") == []
    census = here.invoke("census", *where, "--json")
    assert census.exit_code == 0, census.output
    assert json.loads(census.stdout)["purged"] == 1
    assert "Nothing to do" in here.invoke(*run).output
    elsewhere = ["--input", f"{bucket}/landing2", *where[2:]]
    assert "matches nothing" in here.invoke("census", *elsewhere).stderr


@pytest.mark.parametrize("scheme", ["teststore", "testtree"])
@pytest.mark.parametrize("format", list(WRITERS))
def test_on_object_stores(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, format: str
) -> None:
    pattern = WRITERS[format](tmp_path / "landing")
    bucket = f"{scheme}://key:secret@bucket"
    here, where, run = on_store(job, pattern, tmp_path, monkeypatch, bucket)
    assert here.invoke(*run).exit_code == 0
    done = here.invoke("purge", *where, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["assets"] == 3
    left = {entry.path for entry in storage.walk(f"{bucket}/landing")}
    output = {entry.path for entry in storage.walk(f"{bucket}/run/output")}
    shard = "run/output/landing" if format == "folder" else "run/output"
    assert {path.replace(shard, "landing") for path in output} == left
    for path in left:
        admitted = path.replace("landing", shard)
        assert storage.read_bytes(path) == storage.read_bytes(admitted)
    census = here.invoke("census", *where, "--json")
    assert json.loads(census.stdout)["exact"], census.stdout
    assert "Nothing to do" in here.invoke(*run).output
    kept = [e.path for e in storage.walk(f"{bucket}/run/quarantine") if e.path.endswith(".jsonl")]
    for path in kept:  # the manifests and the audit log
        assert b"secret" not in storage.read_bytes(path)
        assert f"{scheme}://bucket/landing".encode() in storage.read_bytes(path)
