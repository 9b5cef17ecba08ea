"""Whatever a file of the landing zone, the lists or the evidence has become, it is told.

Each is cut off around the end of each of its records, and has bits flipped. Then it is refused by
name and with the right exit code, or done again to the state of a calm run; nothing passes in
silence, no asset is missing, and no error is anything but the gate's own.
"""

import base64
import io
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from click.testing import Result

from ingestgate.assets.receipts import read_failures
from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists.signing import sign_list
from ingestgate.quarantine.keys import generate_identity
from tests.archives import make_tar
from tests.e2e.conftest import Job, content, url, write_parquet, write_webdataset
from tests.faults.conftest import thorough
from tests.faults.damage import Damage, bits, cuts, ends_of_lines, every, in_place
from tests.faults.mutating import flipped
from tests.faults.zones import ZONES

MakeJob = Callable[..., Job]
SEEDS = (3, 5, 7, 8)  # by digest, by perceptual hash, by source, and a clean one


def sound(result: Result) -> Result:
    """Returns a command's result, if what it raised is its exit code."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def census(gate: Job, *extra: str) -> dict[str, Any]:
    where = ("census", "--input", *gate.inputs, *gate.folders, "--json", *extra)
    found: dict[str, Any] = json.loads(sound(gate.invoke(*where)).stdout)
    return found


def footer_of(parquet: bytes) -> int:
    """Where a Parquet file's footer begins."""
    return len(parquet) - 8 - int.from_bytes(parquet[-8:-4], "little")


# The landing zone


def tar_shard() -> tuple[bytes, list[int]]:
    """A shard and the ends of its headers and members."""
    items: list[tuple[str, bytes | None]] = []
    for seed in SEEDS:
        text = json.dumps({"url": url(seed)}).encode()
        items += [(f"k{seed:02d}.jpg", content(seed)), (f"k{seed:02d}.json", text)]
    ends = [0]
    for _, body in items:
        ends += [ends[-1] + 512, ends[-1] + 512 + -(-len(body or b"") // 512) * 512]
    raw = make_tar(items)
    return raw, [*ends, *every(512, raw[: ends[-1] + 1024])[-2:]]


def parquet_shard(root: Path) -> tuple[bytes, list[int]]:
    """A shard and the ends of its column chunks, row groups and footer."""
    write_parquet(root)
    path = root / "train.parquet"
    raw = path.read_bytes()
    return raw, ends_in_parquet(raw)


def ends_in_parquet(raw: bytes) -> list[int]:
    """Where a Parquet file's pages of values, column chunks and footer begin and end."""
    metadata = pq.read_metadata(io.BytesIO(raw))
    ends = {4, footer_of(raw), len(raw) - 8, len(raw) - 4, len(raw)}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            start = column.dictionary_page_offset or column.data_page_offset
            ends |= {start, column.data_page_offset, start + column.total_compressed_size}
    return sorted(ends)


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_landing_shards(job: MakeJob, tmp_path: Path, format: str) -> None:
    """Many damaged shards in one landing zone: each is refused, or every asset of it accounted."""
    if format == "webdataset":
        (raw, ends), suffix = tar_shard(), ".tar"
    else:
        (raw, ends), suffix = parquet_shard(tmp_path / "whole"), ".parquet"
    # All that can be cut off unnoticed is what comes after a tar's last member.
    harmless = ends[-3] if suffix == ".tar" else len(raw)
    # Headers and footers are few among a shard's bytes, and matter most.
    vital = range(1024) if suffix == ".tar" else range(footer_of(raw), len(raw))
    damaged = [*cuts(raw, ends, 12, format), *bits(raw, 8, format)]
    damaged += bits(raw, 12, f"{format}'s structure", vital)
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / f"whole{suffix}").write_bytes(raw)
    names = {f"d{number:05d}{suffix}": one for number, one in enumerate(damaged)}
    for name, one in names.items():
        (landing / name).write_bytes(one.content)
    gate = job(str(landing / f"*{suffix}"))
    tried = sound(gate.run("--format", format))
    assert tried.exit_code == 1, tried.output
    report = json.loads((gate.evidence / "report.json").read_text())
    failed = {each["shard"]: each["problem"] for each in report["shards"]["failed"]}
    members = defaultdict(set)
    for row in gate.ledger():
        members[row["shard"]].add(row["member"])
    wanted = members[f"whole{suffix}"]
    assert len(wanted) == (len(SEEDS) if suffix == ".tar" else 12)
    for name, one in names.items():
        where = (one.what, one.place, failed.get(name))
        if name in failed:
            assert failed[name], where
            assert not (gate.output / name).exists(), where
        else:
            assert members[name] >= wanted, where
            assert one.what == "flip" or one.place >= harmless, where
    found = census(gate, "--format", format)
    unsaid = [p for p in found["problems"] if p.split(":")[0] not in failed]
    assert not unsaid
    assert found["problem_count"] == len(failed)
    assert found["inputs"] == sum(found["counts"].values())
    # Mended, everything is as if it had never been damaged.
    for name in failed:
        (landing / name).write_bytes(raw)
    gate.report("--format", format)
    assert census(gate, "--format", format)["exact"]


@pytest.mark.parametrize("format", ["img2dataset", "gzipped", "urls"])
def test_landing_shards_of_other_formats(job: MakeJob, tmp_path: Path, format: str) -> None:
    """One file of it cut off around the ends of its records: refused, or all that is left counts.

    A manifest of URLs that ends with a record is a shorter manifest, and a whole one.
    """
    gate = job(ZONES[format](tmp_path / "landing"))
    gate.report("--dry-run")
    wanted = len(gate.ledger())
    for path in sorted((tmp_path / "landing").iterdir()):
        raw = path.read_bytes()
        ends_of: dict[str, Callable[[bytes], list[int]]] = {
            ".parquet": ends_in_parquet,
            ".tar": lambda raw: every(512, raw),
            ".gz": lambda raw: [10, len(raw) - 8, len(raw)],
        }
        ends = ends_of.get(path.suffix, ends_of_lines)(raw)
        for damage in [*cuts(raw, ends, 2, path.name), *bits(raw, 1, path.name)]:
            trial = gate.elsewhere(f"{path.name}-{damage.what}-{damage.place}")
            with in_place(path, damage):
                tried = sound(trial.run())
                where = (path.name, *damage[:2])
                assert tried.exit_code in (0, 1, 2), (where, tried.output)
                if tried.exit_code:
                    assert "00000" in tried.output or "urls" in tried.output, (where, tried.output)
                    assert not list(trial.output.rglob("*.*")), where
                    continue
                found = census(trial)
                assert found["exact"], (where, found["problems"])
                assert format == "urls" or found["inputs"] >= wanted - 1, where


@pytest.mark.parametrize("name", ["hashes.md5", "table.csv", "table.jsonl", "ncmec-1.xml"])
def test_partners_files(job: MakeJob, tmp_path: Path, name: str) -> None:
    """Cut off around the ends of their lines: refused, or what is left is imported.

    A cut within a value is told; one between lines leaves a shorter list, which only a signature,
    a count or `run --list-state` can tell.
    """
    sample = Path(__file__).parents[1] / "blocklists" / "samples" / name
    raw, path = sample.read_bytes(), tmp_path / name
    mapping = {
        "table.csv": str(sample.with_suffix(".yaml")),
        "table.jsonl": "md5=md5,sha256=sha256,id=ref,deleted=withdrawn",
    }
    extra = ("--map", mapping[name]) if name in mapping else ()
    gate = job("none")

    def imported(number: int) -> Result:
        given = ("--partner", "p", "--store", str(tmp_path / f"store-{number}"), *extra)
        return sound(gate.invoke("lists", "import", *given, "--json", str(path)))

    path.write_bytes(raw)
    whole = imported(-1)
    assert whole.exit_code == 0, whole.output
    ends = ends_of_lines(raw)
    for number, damage in enumerate(cuts(raw, ends, 6, name)):
        path.write_bytes(damage.content)
        done = imported(number)
        where = (name, *damage[:2], done.output)
        assert done.exit_code in (0, 1, 2, 3), where
        if done.exit_code:
            assert name in done.output, where
            assert not re.search(rb"[0-9a-f]{32}", done.output.encode()), where
            continue
        assert damage.place in {0, *ends} | {end - 1 for end in ends}, where


# What a run leaves behind


class Certified(NamedTuple):
    """A certified run, and a checkpoint of its audit log that is kept elsewhere."""

    job: Job
    key: str
    public: str
    checkpoint: str
    state: dict[str, Any]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, lists: str) -> Certified:
    root = tmp_path_factory.mktemp("damaged")
    recipient = generate_identity(str(root / "identity.txt"))
    landing = write_webdataset(root / "landing")
    gate = Job(root / "job", [landing], lists, str(root / "identity.txt"), recipient)
    key, checkpoint = str(root / "key.pem"), str(root / "checkpoint.json")
    public = generate_signing_key(key)
    gate.report("--certificate-key", key)
    vault = ("--quarantine", str(gate.quarantine))
    made = gate.invoke("audit", "checkpoint", *vault, "--key", key, "--to", checkpoint)
    assert made.exit_code == 0, made.output
    return Certified(gate, key, public, checkpoint, gate.state())


@pytest.fixture
def left(original: Certified, tmp_path: Path) -> Certified:
    """A copy of it, which a test may do with as it likes."""
    return original._replace(job=original.job.copied(tmp_path / "job"))


def verify(left: Certified, *extra: str) -> Result:
    gate = left.job
    return sound(gate.invoke("verify", str(gate.output), "--key", left.public, "--json", *extra))


def verify_evidence(left: Certified) -> Result:
    gate = left.job
    return verify(left, "--evidence", str(gate.evidence), "--quarantine", str(gate.quarantine))


def vault_check(left: Certified) -> Result:
    command = ("quarantine", "check", "--quarantine", str(left.job.quarantine))
    return sound(left.job.invoke(*command))


def one(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


def test_ledger_parts(left: Certified) -> None:
    """Who holds the certificate is told of every bit; who has none, of whatever counts."""
    path = one(left.job.evidence, "ledger/*/part-00000.parquet")
    raw = path.read_bytes()
    for damage in [*cuts(raw, ends_in_parquet(raw), 6, "part"), *bits(raw, 24, "part")]:
        with in_place(path, damage):
            found = verify_evidence(left)
            assert found.exit_code == 5, damage[:2]
            assert f"{path.parent.name}/{path.name}: changed" in found.stdout, damage[:2]
            counted = census(left.job)
            if counted["exact"]:
                assert damage.what == "flip", damage[:2]
                assert left.job.ledger() == left.state["ledger"], damage[:2]


def test_judged_parts(job: MakeJob, tmp_path: Path) -> None:
    """Damaged between judging and committing: judged again, to the same state."""
    gate = job(write_webdataset(tmp_path / "landing"))
    calm = gate.elsewhere("calm")
    counts = calm.report()["counts"]
    expected = calm.state()
    gate.report("--dry-run")
    raw = one(gate.evidence, "ledger/*/part-00000.parquet").read_bytes()
    # What Arrow reads of the header is a copy of it in base64.
    (coded,) = re.finditer(rb"/////[A-Za-z0-9+/=]+", raw[footer_of(raw) :])
    start, header = footer_of(raw) + coded.start(), base64.b64decode(coded[0])
    digit = header.index(b": ", header.index(b'"verdict:')) + 2
    miscounted = base64.b64encode(flipped(header, digit, 0))
    miscounted = raw[:start] + miscounted + raw[start + len(miscounted) :]
    damaged = [*cuts(raw, ends_in_parquet(raw), 2, "judged"), *bits(raw, 1, "judged")]
    damaged += bits(raw, 1, "header", range(start, start + len(coded[0])))
    damaged.append(Damage("flip", digit, miscounted))
    for damage in damaged:
        again = gate.copied(tmp_path / "again")
        one(again.evidence, "ledger/*/part-00000.parquet").write_bytes(damage.content)
        tried = sound(again.run())
        assert tried.exit_code in (0, 1), (damage[:2], tried.output)
        if tried.exit_code:
            assert "part-00000.parquet" in tried.output, damage[:2]
            again.report()
        assert again.report()["counts"] == counts, damage[:2]
        assert again.state() == expected, damage[:2]
        assert again.census()["exact"], damage[:2]
        shutil.rmtree(again.root)


def test_receipts(left: Certified) -> None:
    """A damaged receipt is none: its shard is done again."""
    path = one(left.job.evidence, "receipts/00000*.json")
    raw = path.read_bytes()
    for number, damage in enumerate(
        [*cuts(raw, ends_of_lines(raw), 4, "receipt"), *bits(raw, 24, "receipt")]
    ):
        with in_place(path, damage):
            found = verify_evidence(left)
            assert found.exit_code == 5, damage[:2]
            assert f"receipts: {path.name}: changed" in found.stdout, damage[:2]
            assert not census(left.job)["exact"], damage[:2]
            if number % 9 and not thorough():
                continue
            report = left.job.report()
            assert report["shards"]["done"] == 1, damage[:2]
            assert sum(report["counts"].values()) == 12, damage[:2]
            assert left.job.state() == left.state, damage[:2]
            assert census(left.job)["exact"], damage[:2]


def test_a_ledger_that_was_committed(left: Certified) -> None:
    """Runs look at its headers alone; who signs or searches it sees what is damaged."""
    path = one(left.job.evidence, "ledger/00000*/part-00000.parquet")
    raw = path.read_bytes()
    asked = ["--evidence", str(left.job.evidence), "--lists", left.job.lists]
    pages = range(4, len(raw) // 2)
    for damage in bits(raw, 6, "committed ledger", pages):
        with in_place(path, damage):
            for command in (
                ["certify", "--output", str(left.job.output), "--key", left.key, *asked],
                ["rescan", "--workers", "1", *asked],
            ):
                refused = sound(left.job.invoke(*command))
                assert refused.exit_code != 0, (command[0], damage[:2])
                assert f"{path.parent}: damaged" in refused.stderr, (command[0], damage[:2])
                assert "remove it and run again" in refused.stderr
    shutil.rmtree(path.parent)
    assert left.job.report()["shards"]["done"] == 1
    assert left.job.state() == left.state
    assert census(left.job)["exact"]


def test_an_admitted_shard_that_was_cut_off(left: Certified) -> None:
    """It is not what was published, and its shard is done again."""
    path = left.job.output / "00000.tar"
    raw = path.read_bytes()
    for damage in cuts(raw, every(512, raw), 3, "admitted"):
        with in_place(path, damage):
            assert left.job.report()["shards"]["done"] == 1, damage[:2]
            assert left.job.state() == left.state, damage[:2]


def test_a_quarantine_that_is_gone(left: Certified, tmp_path: Path) -> None:
    """Not even a run with nothing to do goes by another one in silence."""
    other = left.job.run("--quarantine", str(tmp_path / "other"))
    assert other.exit_code == 5
    assert "what was sealed of it is on record there, and the file is gone" in other.output


def test_failure_notes(left: Certified) -> None:
    """A note that cannot be read still says that a shard failed."""
    path = left.job.evidence / "failures" / "00000.tar.json"
    path.parent.mkdir(exist_ok=True)
    raw = json.dumps({"shard": "00000.tar", "identity": "0" * 64, "problem": "why"}).encode()
    path.write_bytes(raw)
    for damage in [*cuts(raw, [len(raw)], 3, "note"), *bits(raw, 12, "note")]:
        with in_place(path, damage):
            assert len(read_failures(str(left.job.evidence))) == 1, damage[:2]
            refused = sound(
                left.job.invoke(
                    *("certify", "--output", str(left.job.output), "--lists", left.job.lists),
                    *("--evidence", str(left.job.evidence), "--key", left.key),
                )
            )
            assert refused.exit_code == 5, damage[:2]
            assert "1 shard failed" in refused.output, damage[:2]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_manifests(left: Certified, suffix: str) -> None:
    path = one(left.job.quarantine, f"manifest/00000*.{suffix}")
    raw = path.read_bytes()
    ends = ends_of_lines(raw) if suffix == "jsonl" else ends_in_parquet(raw)
    for damage in [*cuts(raw, ends, 6, suffix), *bits(raw, 16, suffix)]:
        with in_place(path, damage):
            found = vault_check(left)
            assert found.exit_code == 5, damage[:2]
            assert path.name.removesuffix(suffix) in found.output, damage[:2]
            assert not census(left.job)["exact"], damage[:2]


@pytest.mark.parametrize("folder", ["objects", "keys"])
def test_sealed_objects(left: Certified, folder: str) -> None:
    path = min(p for p in (left.job.quarantine / folder).rglob("*") if p.is_file())
    raw = path.read_bytes()
    opened = ("--identity", left.job.identity)
    command = ("quarantine", "check", "--quarantine", str(left.job.quarantine), *opened)
    for damage in [*cuts(raw, [len(raw)], 2, folder), *bits(raw, 8, folder)]:
        with in_place(path, damage):
            found = sound(left.job.invoke(*command))
            assert found.exit_code == 5, (damage[:2], found.output)
            if folder == "objects":
                assert not census(left.job)["exact"], damage[:2]


def test_audit_log(left: Certified, tmp_path: Path) -> None:
    path = left.job.quarantine / "audit" / "log.jsonl"
    raw = path.read_bytes()
    vault = ("--quarantine", str(left.job.quarantine))
    kept = ("--checkpoint", left.checkpoint, "--key", left.public)
    # Without a checkpoint kept elsewhere, a log that ends sooner is one that ended then.
    for number, damage in enumerate(
        [*cuts(raw, ends_of_lines(raw), 12, "log"), *bits(raw, 30, "log")]
    ):
        with in_place(path, damage):
            found = sound(left.job.invoke("audit", "verify", *vault, *kept))
            assert found.exit_code == 5, damage[:2]
            assert "log.jsonl" in found.stderr, damage[:2]
            if number % 10 and not thorough():
                continue
            again = left.job.copied(tmp_path / "again")
            (tmp_path / "landing").mkdir()
            ran = sound(again.run("--no-resume"))
            assert ran.exit_code in (0, 1, 5), damage[:2]
            assert again.state()["output"] == left.state["output"], damage[:2]
            # Writing on hides nothing.
            vault_again = ("--quarantine", str(again.quarantine))
            found = sound(left.job.invoke("audit", "verify", *vault_again, *kept))
            assert found.exit_code == 5, damage[:2]
            shutil.rmtree(again.root)
            (tmp_path / "landing").rmdir()


def test_certificates(left: Certified) -> None:
    path = left.job.output / "_ingestgate" / "certificate.dsse.json"
    raw = path.read_bytes()
    said = json.loads(verify(left).stdout)
    for damage in [*cuts(raw, ends_of_lines(raw), 6, "cert"), *bits(raw, 60, "cert")]:
        with in_place(path, damage):
            found = verify(left)
            if found.exit_code == 0:
                # Nothing of what is signed: the name of the key, or what follows the envelope.
                again = json.loads(found.stdout)
                assert again["certificate"] == said["certificate"], damage[:2]
            else:
                assert found.exit_code == 5, damage[:2]
                assert "certificate.dsse.json" in found.stdout, damage[:2]


def test_admitted_shards(left: Certified) -> None:
    path = left.job.output / "00001.tar"
    raw = path.read_bytes()
    for damage in [*cuts(raw, every(512, raw), 8, "out"), *bits(raw, 20, "out")]:
        with in_place(path, damage):
            found = verify(left)
            assert found.exit_code == 5, damage[:2]
            assert "00001.tar: changed" in found.stdout, damage[:2]


# The lists


def test_compiled_lists(left: Certified, tmp_path: Path) -> None:
    """Signed, as lists should be: what is not the partner's is refused before anything is read."""
    shutil.copytree(left.job.lists, tmp_path / "own")
    folder = one(tmp_path / "own", "*")
    sign_list(str(folder), read_signing_key(left.key), now=_issued(folder))
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"trust": {"keys": {"partner": left.public}}}))
    gate = replace(left.job, lists=str(tmp_path / "own"))
    gate.report("--policy", str(policy))  # the list is the same, and nothing is judged again
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        ends = ends_of_lines(raw) if path.suffix == ".json" else every(64, raw)
        for damage in [*cuts(raw, ends, 3, path.name), *bits(raw, 4, path.name)]:
            with in_place(path, damage):
                found = sound(gate.run("--policy", str(policy), "--dry-run"))
                where = (path.name, *damage[:2])
                if found.exit_code == 0 and path.name == "list.dsse.json":
                    continue  # the name of the key, which proves nothing
                assert found.exit_code == 3, (where, found.output)
                assert folder.name in found.output, where


def _issued(folder: Path) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(json.loads((folder / "list.json").read_text())["issued"])
