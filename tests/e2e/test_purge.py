"""Purging through the command line: what matched leaves the landing zone, and all still adds up."""

import errno
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.destruction_receipts import (
    ORDER_TYPE,
    RECEIPT_TYPE,
    DestroyedCopy,
    DestructionOrder,
    DestructionReceipt,
    OrderedSample,
    order_path,
    receipt_path,
)
from tests.archives import make_tar, special
from tests.e2e.conftest import CAUGHT, SAMPLES, WRITERS, Job, content, on_store
from tests.object_store import ClientError, ObjectStore
from tests.pictures import jpeg

MakeJob = Callable[..., Job]
KEYS = {f"k{seed:02d}" for seed in range(SAMPLES)}


def purge(gate: Job, *extra: str) -> Result:
    return gate.invoke("purge", "--input", *gate.inputs, *gate.folders, *extra)


def purged(gate: Job, *extra: str, code: int = 0) -> dict[str, Any]:
    result = purge(gate, "--json", *extra)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def landing(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def admitted_by(gate: Job) -> dict[str, bytes]:
    """The output, under the names of the landing zone."""
    return {name.removeprefix("landing/"): raw for name, raw in landing(gate.output).items()}


def keys(root: Path, format: str) -> set[str]:
    """The keys of the samples that lie in the landing zone."""
    if format == "webdataset":
        found = set()
        for path in root.glob("*.tar"):
            with tarfile.open(path) as tar:
                found |= {name.split(".")[0] for name in tar.getnames()}
        return found
    if format == "parquet":
        return set(pq.read_table(root / "train.parquet")["key"].to_pylist())
    rows = (root / "metadata.jsonl").read_text().splitlines()
    named = {json.loads(line)["file_name"].split(".")[0] for line in rows}
    assert named == {path.stem for path in root.glob("*.jpg")}
    return named


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

    from tests.e2e.conftest import url

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


def test_what_could_not_be_scanned_stays_as_it_was(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    kept = [
        ("README", b"readers skip this"),
        special("link.jpg", tarfile.SYMTYPE, "k01.jpg"),
        ("broken.jpg", jpeg(63)[:500]),
        ("k01.jpg", content(1)),
        ("twice.jpg", content(2)),
        ("twice.jpg", content(4)),
        ("nothing.txt", b"a caption without a picture"),
    ]
    items = [("k03.jpg", content(3)), *kept[:4], ("k05.jpg", content(5)), *kept[4:]]
    (tmp_path / "landing" / "a.tar").write_bytes(make_tar(items))  # type: ignore[arg-type]
    gate = job(str(tmp_path / "landing" / "*.tar"))
    counts = gate.report()["counts"]
    assert (counts["quarantined"], counts["unscannable"] > 3) == (2, True)
    assert purged(gate)["assets"] == 2
    (tmp_path / "expected.tar").write_bytes(make_tar(kept))  # type: ignore[arg-type]

    def members(path: Path) -> list[tuple[Any, ...]]:
        with tarfile.open(path) as tar:
            return [(m.name, m.type, m.linkname, m.size) for m in tar]

    assert members(tmp_path / "landing" / "a.tar") == members(tmp_path / "expected.tar")
    found = gate.census()
    assert found["exact"], found["problems"]
    assert gate.report()["shards"]["done"] == 0


def _lose(gate: Job, row: dict[str, Any], file: str) -> None:
    (gate.quarantine / row[file]).unlink()


def _spoil_key(gate: Job, row: dict[str, Any]) -> None:
    (gate.quarantine / row["sealed_key"]).write_bytes(b"x")


def forge_receipt(gate: Job, row: dict[str, Any]) -> None:
    """Leaves an order and a receipt of the destruction of a sample that nobody has signed."""
    sample = row["sealed_object"].split("/")[2]
    two = {"requested_by": "ann", "software": "0.1.0"}
    order = DestructionOrder(
        samples=(OrderedSample(sample=sample, assets=(row["asset_id"],)),),
        reason="none",
        requested_at="2026-01-02T03:04:05Z",
        **two,
    )
    receipt = DestructionReceipt(
        sample=sample,
        assets=(row["asset_id"],),
        copies=(DestroyedCopy(object=row["sealed_object"], named=True),),
        reason="none",
        approved_by="rob",
        order_sha256=order.sha256,
        destroyed_at="2026-01-02T03:04:05Z",
        **two,
    )
    vault = str(gate.quarantine)
    Envelope(ORDER_TYPE, order.encoded()).write(order_path(vault, order.id))
    Envelope(RECEIPT_TYPE, receipt.encoded()).write(receipt_path(vault, sample))


def _lose_by_receipt(gate: Job, row: dict[str, Any]) -> None:
    forge_receipt(gate, row)
    _lose(gate, row, "sealed_object")


@pytest.mark.parametrize(
    "damage",
    [
        lambda gate, row: _lose(gate, row, "sealed_object"),
        lambda gate, row: _lose(gate, row, "sealed_key"),
        _spoil_key,
        _lose_by_receipt,
    ],
    ids=["no-object", "no-key", "garbage-key", "forged-receipt"],
)
def test_only_what_the_vault_verifiably_holds_goes(
    job: MakeJob, tmp_path: Path, damage: Callable[[Job, dict[str, Any]], None]
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    (row,) = (row for row in gate.manifest() if row["shard"] == "00001.tar")
    damage(gate, row)
    (problem,) = gate.census()["problems"]
    assert "its sealed object or key is missing or changed" in problem
    before = landing(tmp_path / "landing")
    for extra in (("--dry-run",), ()):
        found = purged(gate, *extra, code=5)
        outcomes = {each["shard"]: each for each in found["shards"]}
        assert outcomes["00001.tar"]["outcome"] == "refused"
        assert "is not in the quarantine as its manifest says" in outcomes["00001.tar"]["problem"]
    after = landing(tmp_path / "landing")
    assert after["00001.tar"] == before["00001.tar"]
    assert after["00000.tar"] != before["00000.tar"], "others are purged all the same"
    assert "refused: 00001.tar" in purge(gate).stdout


def test_only_a_shard_that_is_still_what_was_judged(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    shard = tmp_path / "landing" / "00001.tar"
    status = shard.stat()
    raw = bytearray(shard.read_bytes())
    raw[512 + 200] ^= 1  # size and time stay
    shard.write_bytes(raw)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "no longer what was judged" in problems["00001.tar"]
    assert shard.read_bytes() == bytes(raw)
    shard.write_bytes(raw + bytes(1024))
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "not, or no longer, the shard that was judged" in problems["00001.tar"]


def test_nothing_goes_before_it_was_committed(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    before = landing(tmp_path / "landing")
    gate.report("--dry-run")
    append_machine(str(gate.quarantine), "run.begun", {})
    for each in purged(gate, code=5)["shards"]:
        assert "has no receipt" in each["problem"]
    gate.report()
    (gate.output / "00000.tar").unlink()
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "admitted output is not there" in problems["00000.tar"]
    assert landing(tmp_path / "landing")["00000.tar"] == before["00000.tar"]


def test_receipts_are_signed_where_there_is_a_key(job: MakeJob, tmp_path: Path) -> None:
    import base64

    from ingestgate.assets.envelope import Envelope
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


def write_caught(root: Path) -> str:
    """Writes a folder in which every picture is listed; returns it."""
    root.mkdir(parents=True)
    (root / "k03.jpg").write_bytes(content(3))
    return str(root)


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


def test_an_empty_folder_that_nobody_purged_is_refused(job: MakeJob, tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "photos"
    gate = job(write_caught(folder))
    gate.report()
    purged(gate)
    assert "is an empty directory" in gate.elsewhere("other").run().stderr
    (folder / "README").write_text("later")
    assert "holds neither shards nor pictures" in gate.run().stderr


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


@pytest.mark.parametrize("format", list(WRITERS))
def test_where_files_cannot_be_replaced_in_one_step_nothing_of_the_original_stays(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """What has made way for what is left is under a name that no listing of shards shows."""
    pattern = WRITERS[format](tmp_path / "landing")
    here, where, run = on_store(job, pattern, tmp_path, monkeypatch, "testtree://bucket")
    assert here.invoke(*run).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        real = ObjectStore._check

        def check(store: ObjectStore, operation: str, path: str) -> None:
            if operation == "delete" and storage.is_partial(path) and "/landing/" in path:
                raise ClientError("service unavailable")
            real(store, operation, path)

        patch.setattr(ObjectStore, "_check", check)
        tried = here.invoke("purge", *where, "--json")
    hidden = [path for path in landed() if storage.is_partial(path)]
    assert (tried.exit_code != 0) == bool(hidden), tried.output
    assert hidden, "every format has something that is replaced"
    assert here.invoke("purge", *where, "--json").exit_code == 0
    shard = "run/output/landing" if format == "folder" else "run/output"
    output = {entry.path for entry in storage.walk("testtree://bucket/run/output")}
    assert {path.replace(shard, "landing") for path in output} == landed()
    for path in landed():
        assert storage.read_bytes(path) == storage.read_bytes(path.replace("landing", shard))


def landed() -> set[str]:
    """All that lies in the landing zone, also under temporary names."""
    return {entry.path for entry in storage.walk("testtree://bucket/landing", partials=True)}


class Killed(BaseException):
    """What ends a process."""


def purge_until_killed(gate: Job) -> Result | None:
    """Returns the result of a purge; None if it was killed."""
    try:
        return purge(gate)
    except Killed:
        return None


@pytest.mark.parametrize("format", list(WRITERS))
@pytest.mark.parametrize("function", ["replace", "unlink"])
def test_killed_between_any_two_steps_the_same_again_completes_it(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, function: str
) -> None:
    real = getattr(os, function)
    calls = left = 0

    def step(*arguments: Any, **more: Any) -> Any:
        nonlocal calls, left
        calls += 1
        if left == 0:
            raise Killed
        left -= 1
        return real(*arguments, **more)

    root = tmp_path / "try"
    gate = job(WRITERS[format](root / "landing")).elsewhere("try/job")
    gate.report()
    admitted = admitted_by(gate)
    shutil.copytree(root, tmp_path / "judged")
    point = 0
    while True:
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "judged", root)
        left, calls = point, 0
        with monkeypatch.context() as patch:
            patch.setattr(os, function, step)
            if (whole := purge_until_killed(gate)) is not None:
                assert whole.exit_code == 0, whole.output
                break
        begun = list((gate.evidence / "purging").rglob("*.json"))
        if begun:
            refused = gate.run()
            assert refused.exit_code == 2, "a landing zone half purged is not judged"
            assert "a purge was interrupted" in refused.stderr
        purged(gate)
        assert landing(root / "landing") == admitted, (point, begun)
        found = gate.census()
        assert found["exact"], found["problems"]
        assert found["purged"] == 3
        assert gate.report()["shards"]["done"] == 0
        assert not list((gate.evidence / "purging").rglob("*.json"))
        point += 1
    assert point >= (1 if function == "unlink" else 4)


def test_a_purge_that_left_nothing_and_no_receipt_is_completed(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_caught(tmp_path / "landing"))
    gate.report()

    def killed(self: Envelope, path: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Envelope, "write", killed)
        assert purge_until_killed(gate) is None
    assert not list((tmp_path / "landing").iterdir())
    assert "a purge was interrupted" in gate.run().output
    assert [each["outcome"] for each in purged(gate)["shards"]] == ["purged"]
    assert gate.census()["exact"]


def test_a_file_changed_while_a_purge_was_interrupted_is_not_written_over(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()

    def killed(source: str, path: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(storage, "move", killed)
        assert purge_until_killed(gate) is None
    shard = tmp_path / "landing" / "00000.tar"
    changed = shard.read_bytes() + bytes(512)
    shard.write_bytes(changed)
    problems = {each["shard"]: each["problem"] for each in purged(gate, code=5)["shards"]}
    assert "changed by somebody else since its purge began" in problems["00000.tar"]
    assert shard.read_bytes() == changed


def test_a_purge_that_was_interrupted_looks_at_the_vault_again(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    before = landing(tmp_path / "landing")["00000.tar"]

    def killed(source: str, path: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(storage, "move", killed)
        assert purge_until_killed(gate) is None
    row = next(row for row in gate.manifest() if row["shard"] == "00000.tar")
    key = gate.quarantine / row["sealed_key"]
    sealed = key.read_bytes()
    key.write_bytes(b"x")
    for extra in (("--dry-run",), ()):
        problems = {
            each["shard"]: each["problem"] for each in purged(gate, *extra, code=5)["shards"]
        }
        assert "is not in the quarantine as its manifest says" in problems["00000.tar"]
    assert landing(tmp_path / "landing")["00000.tar"] == before
    key.write_bytes(sealed)
    assert purged(gate)["assets"] == 3
    assert gate.census()["exact"]


def test_what_was_rewrapped_is_held(job: MakeJob, tmp_path: Path) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    vault = ("--quarantine", str(gate.quarantine))
    who = ("--identity", gate.identity, "--recipient", gate.recipient)
    assert gate.invoke("quarantine", "rewrap", *vault, *who).exit_code == 0
    assert gate.census()["exact"]
    assert purged(gate)["assets"] == 3


@pytest.mark.parametrize("format", list(WRITERS))
def test_a_full_disk_leaves_the_landing_zone_as_it_was(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    gate = job(WRITERS[format](tmp_path / "landing"))
    gate.report()
    before = landing(tmp_path / "landing")
    real = os.fsync

    def full(descriptor: int) -> None:
        if "/.purge." in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        failed = purge(gate)
    assert failed.exit_code == 1
    assert "No space left" in failed.stderr
    assert {n: b for n, b in landing(tmp_path / "landing").items() if ".partial" not in n} == before
    assert gate.census()["exact"]
    assert gate.report()["shards"]["done"] == 0
    assert purged(gate)["assets"] == 3
    assert landing(tmp_path / "landing") == admitted_by(gate)
