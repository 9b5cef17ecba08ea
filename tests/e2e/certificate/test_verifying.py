"""What a training job verifies of an output, and what it is refused for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.pipeline.recall_notices import RecallNotice, write_recall
from tests.e2e.certificate.conftest import (
    certificate,
    certify,
    flip,
    flip_metadata,
    refused,
    rewrite,
    verify,
)
from tests.e2e.conftest import WRITERS, Job

MakeJob = Callable[..., Job]


@pytest.mark.parametrize("form", sorted(WRITERS))
def test_what_a_run_admitted_verifies(job: MakeJob, tmp_path: Path, key: str, form: str) -> None:
    gate = job(WRITERS[form](tmp_path / "landing"))
    gate.report("--certificate-key", key)
    result = verify(gate)
    assert result.exit_code == 0, result.output
    assert "every file held against partner version 3" in result.stdout
    said = json.loads(verify(gate, "--json").stdout)
    assert said["verified"]
    assert said["lists"] == {"partner": 3}
    assert said["signed_by"] == [str(tmp_path / "key.pub")]
    assert gate.census()["exact"]
    predicate = certificate(gate)["predicate"]
    assert predicate["counts"] == {"admitted": 9, "quarantined": 3, "unscannable": 0}
    (screening,) = predicate["screenings"]
    assert screening["canaries"] == {"partner": ["domain", "md5", "pdq"]}
    assert screening["isolation"]
    assert "manifestsDigest" in predicate["evidence"]
    # A second run has nothing to do, and certifies the same again.
    digest = said["certificate"]
    gate.report("--certificate-key", key)
    assert json.loads(verify(gate, "--json").stdout)["certificate"] == digest


def test_a_changed_shard(gate: Job) -> None:
    flip(gate.output / "00001.tar")
    refused(gate, "00001.tar: changed: is not what was certified")


def test_a_shard_of_another_size(gate: Job) -> None:
    (gate.output / "00001.tar").write_bytes(b"short")
    refused(gate, "00001.tar: changed: has 5 bytes")


def test_a_missing_shard(gate: Job) -> None:
    (gate.output / "00001.tar").unlink()
    refused(gate, "00001.tar: missing")


@pytest.mark.parametrize(
    "name",
    [
        *("more.tar", "_ingestgate/more.tar", ".more.tar.0123456789ab.partial"),
        *("_ingestgate/recalls/below/a.dsse.json", "00001.tar.d/a.jpg"),
    ],
)
def test_an_extra_file(gate: Job, name: str) -> None:
    (gate.output / name).parent.mkdir(parents=True, exist_ok=True)
    (gate.output / name).write_bytes(b"x")
    refused(gate, f"{name}: extra")


def test_an_uncertified_folder(gate: Job) -> None:
    shutil.rmtree(gate.output / "_ingestgate")
    refused(gate, "this folder is not certified")


def test_a_changed_certificate(gate: Job) -> None:
    def swap(content: dict[str, Any]) -> None:
        content["subject"].pop()

    rewrite(gate, swap)
    refused(gate, "signed by 0 of the 1 trusted keys")


def test_a_certificate_of_somebody_else(gate: Job, tmp_path: Path) -> None:
    other = str(tmp_path / "other.pem")
    generate_signing_key(other)
    rewrite(gate, lambda content: content["predicate"].update(dataset="x"), other)
    refused(gate, "signed by 0 of the 1 trusted keys")


def _unscreened(content: dict[str, Any]) -> None:
    del content["subject"][0]["annotations"]["screening"]


def _unknown_screening(content: dict[str, Any]) -> None:
    content["subject"][0]["annotations"]["screening"] = "another"


def _no_lists(content: dict[str, Any]) -> None:
    content["predicate"]["screenings"][0]["judgedWith"] = []


def _no_time(content: dict[str, Any]) -> None:
    del content["predicate"]["issuedAt"]


def _weak_digest(content: dict[str, Any]) -> None:
    content["subject"][0]["digest"] = {"md5": "0" * 32}


def _other_kind(content: dict[str, Any]) -> None:
    content["predicateType"] = "https://slsa.dev/provenance/v1"


@pytest.mark.parametrize(
    "change",
    [_unscreened, _unknown_screening, _no_lists, _no_time, _weak_digest, _other_kind],
    ids=lambda change: change.__name__,
)
def test_leaving_something_out_allows_nothing(
    gate: Job, key: str, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(gate, change, key)
    refused(gate, "not a certificate of a screened dataset")


def test_fields_of_later_versions_are_passed_over(gate: Job, key: str) -> None:
    rewrite(gate, lambda content: content["predicate"].update(later={"a": 1}), key)
    assert verify(gate).exit_code == 0


def test_lists_that_are_asked_for(gate: Job) -> None:
    assert verify(gate, "--require-list", "partner>=3").exit_code == 0
    refused(gate, "held against version 3 of list partner", extra=("--require-list", "partner>=4"))
    refused(gate, "no version of list other", extra=("--require-list", "other>=1"))
    assert verify(gate, "--require-list", "partner=3").exit_code == 2


def test_a_list_that_only_observes_does_not_count(job: MakeJob, tmp_path: Path, key: str) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    policy = tmp_path / "policy.yaml"
    policy.write_text("lists: {partner: {action: observe}}\n")
    report = gate.report("--certificate-key", key, "--policy", str(policy))
    assert report["counts"]["admitted"] == 12
    assert "every file held against no list in common" in verify(gate).stdout
    refused(gate, "no version of list partner", extra=("--require-list", "partner>=1"))


def test_demands_of_a_policy(gate: Job, tmp_path: Path) -> None:
    line = (tmp_path / "key.pub").read_text().split()[-1]
    demands = {"keys": {"gate": line}, "max_age_days": 30, "lists": {"partner": 3}}
    policy = tmp_path / "verify.yaml"
    policy.write_text(json.dumps(demands))
    result = verify(gate, "--policy", str(policy), public=False)
    assert result.exit_code == 0, result.output
    assert "signed by gate" in result.stdout
    policy.write_text(json.dumps(demands | {"lists": {"partner": 4}}))
    # What the command line says besides can only demand more.
    less = verify(gate, "--policy", str(policy), "--require-list", "partner>=1", public=False)
    assert less.exit_code == 5
    assert verify(gate, public=False).exit_code == 2
    assert verify(gate, "--threshold", "2").exit_code == 2
    assert verify(gate, "--key", str(tmp_path / "key.pem"), public=False).exit_code == 2


@pytest.mark.parametrize("days", ["nan", "inf", "1e300"])
def test_an_age_that_is_none_is_refused(job: MakeJob, tmp_path: Path, key: str, days: str) -> None:
    gate = job(str(tmp_path))
    said = "the highest age is in days, at most 999999999"
    result = verify(gate, "--max-age", days)
    assert (result.exit_code, result.stderr) == (2, f"ingestgate: {said}\n")
    line = (tmp_path / "key.pub").read_text().split()[-1]
    number = {"nan": ".nan", "inf": ".inf", "1e300": "1.0e+300"}[days]
    (tmp_path / "verify.yaml").write_text(f"keys: {{gate: '{line}'}}\nmax_age_days: {number}\n")
    policy = ("--policy", str(tmp_path / "verify.yaml"))
    assert verify(gate, *policy, public=False).exit_code == 2


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_a_recall_stops_training_until_the_bytes_are_others(
    gate: Job, key: str, signed: bool
) -> None:
    subject = certificate(gate)["subject"][1]
    notice = RecallNotice(
        dataset="photos",
        made_at="2026-01-02T00:00:00+00:00",
        lists=[{"id": "partner", "version": 4, "digest": "0" * 64}],
        shards=[{"name": subject["name"], "sha256": subject["digest"]["sha256"], "assets": 1}],
        certificate=certificate(gate)["digest of it"],
    )
    signer = read_signing_key(key) if signed else None
    write_recall(
        str(gate.output),
        str(gate.evidence),
        "r1",
        notice,
        signer,
    )
    refused(gate, "00001.tar: recalled by", "r1.dsse.json")
    # Signing the same bytes again does not help.
    certify(gate, key)
    refused(gate, "00001.tar: recalled by")
    # A notice that comes by another way counts as well.
    (gate.output / "_ingestgate/recalls/r1.dsse.json").unlink()
    assert verify(gate).exit_code == 0
    refused(gate, "00001.tar: recalled by", extra=("--recalls", str(gate.evidence / "recalls")))
    refused(gate, "no recall notices", extra=("--recalls", str(gate.root / "nowhere")))


def test_a_recall_that_cannot_be_read_stops_training(gate: Job) -> None:
    (gate.output / "_ingestgate/recalls").mkdir()
    (gate.output / "_ingestgate/recalls/r1.dsse.json").write_text("{}")
    refused(gate, "a recall notice that cannot be read")


def test_evidence_that_was_changed_is_named(gate: Job) -> None:
    both = ("--evidence", str(gate.evidence), "--quarantine", str(gate.quarantine))
    result = verify(gate, *both)
    assert result.exit_code == 0, result.output
    flip_metadata(gate)
    refused(gate, "ledger: 00001.tar.parts/part-00000.parquet: changed", extra=both)
    receipt = gate.evidence / "receipts/00000.tar.json"
    receipt.write_text(receipt.read_text().replace("admitted", "Admitted"))
    refused(gate, "receipts: 00000.tar.json: changed", extra=both)
    receipt.unlink()
    refused(gate, "receipts: 00000.tar.json: missing", extra=both)
    manifest = next((gate.quarantine / "manifest").glob("*.jsonl"))
    manifest.write_text(manifest.read_text() + "\n")
    refused(gate, f"manifests: {manifest.name}: changed", extra=both)
    (listing,) = (gate.evidence / "certificates").glob("*.ledger.sha256")
    listing.write_text("")
    refused(gate, "is not the listing that the certificate names", extra=both)


def test_a_certificate_that_says_nothing_of_the_quarantine_verifies_none(
    job: MakeJob, tmp_path: Path, key: str
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report()
    assert certify(gate, key).exit_code == 0
    evidence = ("--evidence", str(gate.evidence))
    assert verify(gate, *evidence).exit_code == 0
    said = "the certificate does not say which manifests and audit log were there"
    for quarantine in (gate.quarantine, tmp_path / "nowhere"):
        refused(gate, said, extra=(*evidence, "--quarantine", str(quarantine)))
    # Another certificate says it, and is another one for that.
    assert certify(gate, key, "--quarantine", str(gate.quarantine)).exit_code == 0
    assert certificate(gate)["predicate"]["supersedes"]
    assert verify(gate, *evidence, "--quarantine", str(gate.quarantine)).exit_code == 0


def test_a_training_job_can_read_what_it_verifies(gate: Job) -> None:
    folder = gate.output / "_ingestgate"
    assert folder.stat().st_mode & 0o777 == gate.output.stat().st_mode & 0o777
    path = folder / "certificate.dsse.json"
    assert path.stat().st_mode & 0o777 == (gate.output / "00000.tar").stat().st_mode & 0o777


def test_a_certificate_with_two_subjects_of_one_name_is_none(gate: Job, key: str) -> None:
    """The age of one of them would be told by the other."""
    rewrite(gate, lambda content: content["subject"].append(content["subject"][0]), key)
    refused(gate, "not a certificate of a screened dataset", "two subjects of one name")


def _recalling(gate: Job, **said: Any) -> None:
    notice = RecallNotice(
        **{"dataset": "photos", "made_at": "2026-01-02T00:00:00+00:00", "lists": [], "shards": []}
        | said
    )
    write_recall(str(gate.output), str(gate.evidence), "r1", notice, None)


def test_a_recall_of_the_certificate_stops_training(gate: Job) -> None:
    _recalling(gate, certificate=certificate(gate)["digest of it"])
    refused(gate, "r1.dsse.json: recalls the certificate that lies here; get the one that follows")


def test_no_recall_is_answered_by_a_subject_that_does_not_say_when_it_was_let_in(
    gate: Job, key: str
) -> None:
    subject = certificate(gate)["subject"][1]
    (used,) = certificate(gate)["predicate"]["screenings"][0]["judgedWith"]
    _recalling(
        gate,
        lists=[{name: used[name] for name in ("id", "version", "digest")}],
        shards=[{"name": subject["name"], "sha256": subject["digest"]["sha256"], "assets": 1}],
    )
    assert verify(gate).exit_code == 0, "judged anew since, with these lists"
    rewrite(gate, lambda content: content["subject"][1]["annotations"].pop("committedAt"), key)
    refused(gate, "00001.tar: recalled by")
