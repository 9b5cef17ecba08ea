"""Certificates and their verification, through the command line."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # has no __all__

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.shard import Shard
from ingestgate.assets.signing_keys import generate_signing_key, key_id, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.certificate.certifying import CertifyRequest
from ingestgate.pipeline.certificate.certifying import certify as make
from ingestgate.pipeline.certificate.statements import PAYLOAD_TYPE, digest_of
from ingestgate.pipeline.recall_notices import RecallNotice, write_recall
from ingestgate.pipeline.rescan.records import RescanRecord, write_rescan
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import RunSettings, context_digest
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job

MakeJob = Callable[..., Job]


@pytest.fixture
def key(tmp_path: Path) -> str:
    line = generate_signing_key(str(tmp_path / "key.pem"))
    (tmp_path / "key.pub").write_text(f"# the gate's\n{line}\n")
    return str(tmp_path / "key.pem")


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path, key: str) -> Job:
    """A job that was run and certified."""
    made = job(WRITERS["webdataset"](tmp_path / "landing"))
    report = made.report("--certificate-key", key)
    assert report["certificate"]["path"] == str(made.output / "_ingestgate/certificate.dsse.json")
    return made


def verify(gate: Job, *extra: str, public: bool = True) -> Result:
    trust = ("--key", str(gate.root.parent / "key.pub")) if public else ()
    return gate.invoke("verify", str(gate.output), *trust, *extra)


def refused(gate: Job, *said: str, extra: tuple[str, ...] = ()) -> None:
    result = verify(gate, *extra)
    assert result.exit_code == 5, result.output
    for text in said:
        assert text in result.stderr


def certify(gate: Job, key: str, *extra: str) -> Result:
    return gate.invoke(
        *("certify", "--output", str(gate.output), "--evidence", str(gate.evidence)),
        *("--lists", gate.lists, "--key", key, *extra),
    )


def certificate(gate: Job) -> dict[str, Any]:
    path = str(gate.output / "_ingestgate/certificate.dsse.json")
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    assert envelope is not None
    content: dict[str, Any] = json.loads(envelope.payload)
    return content | {"digest of it": digest_of(envelope.payload)}


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


def test_a_canary_that_nothing_was_shown_by_is_not_said_to_be_caught(
    job: MakeJob, tmp_path: Path, key: str
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    policy = tmp_path / "policy.yaml"
    policy.write_text("url_columns: []\n")
    gate.report("--certificate-key", key, "--policy", str(policy))
    (screening,) = certificate(gate)["predicate"]["screenings"]
    assert screening["canaries"] == {"partner": ["md5", "pdq"]}
    assert screening["judgedWith"][0]["signalTypes"] == ["domain", "md5", "pdq"]
    # A run that has nothing to judge takes none of it back.
    gate.report("--policy", str(policy))
    (record,) = (gate.evidence / "contexts").glob("*.json")
    assert json.loads(record.read_text())["lists"][0]["canaries"] == ["md5", "pdq"]


def test_another_implementation_verifies_it(gate: Job, key: str) -> None:
    fields = json.loads((gate.output / "_ingestgate/certificate.dsse.json").read_text())
    public = read_signing_key(key).public_key()
    other = SSlibKey(
        key_id(public), "ed25519", "ed25519", {"public": public.public_bytes_raw().hex()}
    )
    envelope = OtherEnvelope.from_dict(fields)
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert set(envelope.verify([other], 1)) == {other.keyid}
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    for subject in statement["subject"]:
        content = (gate.output / subject["name"]).read_bytes()
        assert subject["digest"] == {"sha256": hashlib.sha256(content).hexdigest()}


def test_a_folder_is_one_subject_with_its_dir_hash(job: MakeJob, tmp_path: Path, key: str) -> None:
    gate = job(WRITERS["folder"](tmp_path / "landing"))
    gate.report("--certificate-key", key)
    (subject,) = certificate(gate)["subject"]
    folder = gate.output / subject["name"]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*"))
    ]
    assert subject["digest"] == {"dirHash": hashlib.sha256("".join(lines).encode()).hexdigest()}
    (folder / "k00.jpg").rename(folder / "k99.jpg")
    refused(gate, f"{subject['name']}: changed: a file in it is not what was certified")


def test_a_file_that_took_another_into_its_name(job: MakeJob, tmp_path: Path, key: str) -> None:
    gate = job(WRITERS["folder"](tmp_path / "landing"))
    (tmp_path / "landing/k00.txt").write_bytes(b"")  # a caption
    gate.report("--certificate-key", key)
    assert verify(gate).exit_code == 0
    (subject,) = certificate(gate)["subject"]
    folder = gate.output / subject["name"]
    line = f"{hashlib.sha256(b'').hexdigest()}  k00.txt"
    (folder / "k00.txt").unlink()
    (folder / "k00.jpg").rename(folder / f"k00.jpg\n{line}")
    refused(gate, "the name has a line feed")
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "the name has a line feed" in result.stderr


def test_a_folder_of_empty_files_of_which_none_is_left(
    job: MakeJob, tmp_path: Path, key: str
) -> None:
    gate = job(WRITERS["folder"](tmp_path / "landing"))
    gate.report("--certificate-key", key)
    (subject,) = certificate(gate)["subject"]
    shutil.rmtree(gate.output / subject["name"])

    def only(*lines: str) -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            listing = "".join(lines).encode()
            content["subject"][0]["digest"]["dirHash"] = hashlib.sha256(listing).hexdigest()
            content["subject"][0]["annotations"]["size"] = 0

        return change

    _rewrite(gate, only(f"{hashlib.sha256(b'').hexdigest()}  a.txt\n"), key)
    refused(gate, f"{subject['name']}: changed: a file in it is not what was certified")
    _rewrite(gate, only(), key)
    assert verify(gate).exit_code == 0, "stores and copies need not have empty folders"


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def test_a_changed_shard(gate: Job) -> None:
    _flip(gate.output / "00001.tar")
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


def _rewrite(gate: Job, change: Callable[[dict[str, Any]], None], key: str = "") -> None:
    """Changes what the certificate says, under the signatures it has or a new one."""
    path = str(gate.output / "_ingestgate/certificate.dsse.json")
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    assert envelope is not None
    content = json.loads(envelope.payload)
    change(content)
    # As it is written, but for the change.
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
    changed = Envelope(PAYLOAD_TYPE, text.encode(), envelope.signatures)
    (changed.signed(read_signing_key(key)) if key else changed).write(path)


def test_a_changed_certificate(gate: Job) -> None:
    def swap(content: dict[str, Any]) -> None:
        content["subject"].pop()

    _rewrite(gate, swap)
    refused(gate, "signed by 0 of the 1 trusted keys")


def test_a_certificate_of_somebody_else(gate: Job, tmp_path: Path) -> None:
    other = str(tmp_path / "other.pem")
    generate_signing_key(other)
    _rewrite(gate, lambda content: content["predicate"].update(dataset="x"), other)
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
    _rewrite(gate, change, key)
    refused(gate, "not a certificate of a screened dataset")


def test_fields_of_later_versions_are_passed_over(gate: Job, key: str) -> None:
    _rewrite(gate, lambda content: content["predicate"].update(later={"a": 1}), key)
    assert verify(gate).exit_code == 0


def test_an_old_certificate(gate: Job, key: str) -> None:
    assert verify(gate, "--max-age", "1").exit_code == 0
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    _rewrite(gate, lambda content: content["predicate"].update(issuedAt=old), key)
    assert verify(gate).exit_code == 0
    refused(gate, "more than 30 days ago", extra=("--max-age", "30"))
    refused(gate, "more than 0.5 days ago", extra=("--max-age", "0.5"))


def test_the_oldest_check_of_any_file_counts(gate: Job, key: str) -> None:
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat()

    def age(content: dict[str, Any]) -> None:
        content["subject"][1]["annotations"]["committedAt"] = old

    def lose(content: dict[str, Any]) -> None:
        del content["subject"][1]["annotations"]["committedAt"]
        content["predicate"]["screenings"][0]["screenedFrom"] = old

    def hasten(content: dict[str, Any]) -> None:
        content["subject"][1]["annotations"]["committedAt"] = "2100-01-01T00:00:00Z"
        content["predicate"]["issuedAt"] = old

    for change, name in ((age, "00001.tar"), (lose, "00001.tar"), (hasten, "00000.tar")):
        _rewrite(gate, change, key)
        assert verify(gate, "--max-age", "32").exit_code == 0
        refused(gate, f"{name}: last checked on", "30 days ago", extra=("--max-age", "30"))


def test_taking_a_certificate_away_makes_no_checks_fresh(
    gate: Job, key: str, tmp_path: Path
) -> None:
    quarantine = ("--quarantine", str(gate.quarantine))
    path = gate.output / "_ingestgate/certificate.dsse.json"
    newer(gate, tmp_path)
    for number in range(2):
        rescan(gate, id=f"r-{number}", day=number + 3)
        assert certify(gate, key, *quarantine).exit_code == 0
    said = certificate(gate)
    path.unlink()
    assert "signed as well" in certify(gate, key, *quarantine).stdout
    assert certificate(gate) == said
    # What is kept has to be what it is called by.
    path.unlink()
    kept = gate.evidence / f"certificates/{said['digest of it']}.dsse.json"
    other = next(p for p in kept.parent.glob("*.dsse.json") if p != kept)
    kept.write_bytes(other.read_bytes())
    result = certify(gate, key, *quarantine)
    assert result.exit_code == 5
    assert f"{kept.name}: not the certificate that it is called by" in result.stderr


def test_a_rescan_with_the_same_lists_renews_a_certificate(gate: Job, key: str) -> None:
    now, lists = datetime.now(UTC), ListSet.open(gate.lists, now=datetime.now(UTC))
    folders = (str(gate.output), str(gate.evidence), str(gate.quarantine))
    request = CertifyRequest(*folders, context_digest(Policy(), lists.digest), lists.digest)
    (gate.output / "_ingestgate/certificate.dsse.json").unlink()
    shutil.rmtree(gate.evidence / "certificates")
    before = make(request, [read_signing_key(key)], now - timedelta(days=31)).digest
    # Nothing was looked at since: who signs again renews nothing.
    assert "signed as well" in certify(gate, key, "--quarantine", str(gate.quarantine)).stdout
    refused(gate, "more than 30 days ago", extra=("--max-age", "30"))
    found = gate.invoke(
        *("rescan", "--evidence", str(gate.evidence), "--lists", gate.lists),
        *("--workers", "1", "--json"),
    )
    assert found.exit_code == 0, found.output
    assert certify(gate, key, "--quarantine", str(gate.quarantine)).exit_code == 0
    assert verify(gate, "--max-age", "30").exit_code == 0
    predicate = certificate(gate)["predicate"]
    assert predicate["supersedes"] == before
    (screening,) = predicate["screenings"]
    assert screening["rescannedWith"]["id"] == json.loads(found.stdout)["rescans"][0]["id"]
    assert "signed as well" in certify(gate, key, "--quarantine", str(gate.quarantine)).stdout


def test_what_the_last_rescan_found_something_in_is_not_certified(gate: Job, key: str) -> None:
    rescan(gate, matched=1)
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "00000.tar: the last rescan with the lists in force found something" in result.stderr


def test_a_certificate_of_tomorrow(gate: Job, key: str) -> None:
    late = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    _rewrite(gate, lambda content: content["predicate"].update(issuedAt=late), key)
    refused(gate, "issued in the future")
    # Nobody who signs after that signs this time as well.
    tomorrows = certificate(gate)["digest of it"]
    result = certify(gate, key, "--quarantine", str(gate.quarantine))
    assert result.exit_code == 0, result.output
    assert "signed as well" not in result.stdout
    assert certificate(gate)["predicate"]["supersedes"] == tomorrows
    assert verify(gate, "--max-age", "1").exit_code == 0


def test_who_signs_as_well_does_not_sign_a_history_with_a_gap(
    gate: Job, key: str, tmp_path: Path
) -> None:
    first = certificate(gate)["digest of it"]
    newer(gate, tmp_path)
    rescan(gate)
    assert certify(gate, key).exit_code == 0
    assert certificate(gate)["predicate"]["supersedes"] == first
    _rewrite(gate, lambda content: content["predicate"].pop("supersedes"), key)
    assert "signed as well" not in certify(gate, key).stdout
    said = certificate(gate)["predicate"]
    assert first in {said["supersedes"], *said["supersedesAlso"]}
    assert "signed as well" in certify(gate, key).stdout


def test_lists_that_are_asked_for(gate: Job) -> None:
    assert verify(gate, "--require-list", "partner>=3").exit_code == 0
    refused(gate, "held against version 3 of list partner", extra=("--require-list", "partner>=4"))
    refused(gate, "no version of list other", extra=("--require-list", "other>=1"))
    assert verify(gate, "--require-list", "partner=3").exit_code == 2


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


def test_two_of_two_sign(gate: Job, key: str, tmp_path: Path) -> None:
    second = str(tmp_path / "second.pem")
    line = generate_signing_key(second)
    both = ("--key", line, "--threshold", "2")
    refused(gate, "signed by 1 of the 2 trusted keys", extra=both)
    before = certificate(gate)
    result = certify(gate, second, "--quarantine", str(gate.quarantine))
    assert result.exit_code == 0, result.output
    assert "signed as well, 2 signatures" in result.stdout
    assert certificate(gate) == before
    assert verify(gate, *both).exit_code == 0


def test_key_files_of_one_name_are_several_keys(gate: Job, tmp_path: Path) -> None:
    line = generate_signing_key(str(tmp_path / "other.pem"))
    for folder, content in (("old", (tmp_path / "key.pub").read_text()), ("new", line)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "key.pub").write_text(content)
    old, new = (str(tmp_path / folder / "key.pub") for folder in ("old", "new"))
    for several in ((old, new), (new, old)):
        result = verify(gate, "--key", *several, public=False)
        assert result.exit_code == 0, result.output
        assert f"signed by {old};" in result.stdout
    both = verify(gate, "--key", old, new, "--threshold", "2", public=False)
    assert both.exit_code == 5
    assert "signed by 1 of the 2 trusted keys" in both.stderr


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


def newer(gate: Job, tmp_path: Path) -> None:
    """A version 4 of the list, with the same entries."""
    shutil.copytree(gate.lists, tmp_path / "own")
    gate.lists = str(tmp_path / "own")
    (tmp_path / "md5").write_text(LISTED_MD5 + "\n")
    compile_list(
        id="partner",
        version=4,
        sources=[("md5", str(tmp_path / "md5"))],
        to=gate.lists,
        issued=datetime(2026, 1, 1, tzinfo=UTC),
    )


def rescan(gate: Job, matched: int = 0, *, id: str = "r-2026", day: int = 3) -> RescanRecord:
    lists = ListSet.open(gate.lists, now=datetime.now(UTC))
    shards = {
        name: {
            "ledger": hash_shard_ledger(str(gate.evidence), name, 1),
            "matched": matched,
            "context": context_digest(Policy(), lists.digest),
        }
        for name in ("00000.tar", "00001.tar")
    }
    record = RescanRecord(
        id=id,
        lists=[{"id": i.id, "version": i.version, "digest": i.digest} for i in lists.infos],
        lists_digest=lists.digest,
        rows=12,
        matched=2 * matched,
        shards=shards,
        started_at=f"2026-01-{day:02d}T00:00:00+00:00",
        ended_at=f"2026-01-{day:02d}T00:00:00+00:00",
        tallies={},
    )
    write_rescan(str(gate.evidence), record)
    return record


def test_newer_lists_need_a_rescan(gate: Job, key: str, tmp_path: Path) -> None:
    newer(gate, tmp_path)
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "00000.tar: was judged by other rules" in result.stderr
    rescan(gate, matched=1)
    assert certify(gate, key).exit_code == 5
    rescan(gate)
    before = certificate(gate)["digest of it"]
    assert certify(gate, key).exit_code == 0
    assert certificate(gate)["predicate"]["supersedes"] == before
    assert verify(gate, "--require-list", "partner>=4").exit_code == 0
    # A ledger that is not the one that was rescanned does not count.
    _flip_metadata(gate)
    assert "judged by other rules" in certify(gate, key).stderr


def _flip_metadata(gate: Job) -> None:
    (part,) = (gate.evidence / "ledger/00001.tar.parts").glob("*.parquet")
    part.write_bytes(part.read_bytes() + b"x")


def test_an_older_certificate_is_known_by_the_newer(gate: Job, key: str, tmp_path: Path) -> None:
    path = gate.output / "_ingestgate/certificate.dsse.json"
    old = path.read_bytes()
    newer(gate, tmp_path)
    rescan(gate)
    certify(gate, key)
    path.write_bytes(old)
    assert verify(gate).exit_code == 0
    refused(gate, "supersedes", extra=("--recalls", str(gate.evidence / "certificates")))


@pytest.mark.parametrize("tidied", [False, True], ids=["evidence as it was", "evidence tidied"])
def test_a_copy_many_certificates_behind_is_known_by_the_newest_alone(
    gate: Job, key: str, tmp_path: Path, tidied: bool
) -> None:
    path = gate.output / "_ingestgate/certificate.dsse.json"
    old = path.read_bytes()
    newer(gate, tmp_path)
    for number in range(3):
        rescan(gate, id=f"r-{number}", day=number + 3)
        if tidied:
            shutil.rmtree(gate.evidence / "certificates")
        assert certify(gate, key).exit_code == 0
    (tmp_path / "published").mkdir()
    (tmp_path / "published/newest.json").write_bytes(path.read_bytes())
    assert verify(gate, "--recalls", str(tmp_path / "published")).exit_code == 0
    path.write_bytes(old)
    refused(gate, "newest.json: supersedes", extra=("--recalls", str(tmp_path / "published")))


def test_evidence_that_was_changed_is_named(gate: Job) -> None:
    both = ("--evidence", str(gate.evidence), "--quarantine", str(gate.quarantine))
    result = verify(gate, *both)
    assert result.exit_code == 0, result.output
    _flip_metadata(gate)
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


def test_a_certificate_made_while_there_was_no_log_is_made_anew(gate: Job, key: str) -> None:
    def forget(content: dict[str, Any]) -> None:
        del content["predicate"]["evidence"]["auditLog"]

    _rewrite(gate, forget, key)
    quarantine = ("--quarantine", str(gate.quarantine))
    refused(gate, "and audit log were there", extra=("--evidence", str(gate.evidence), *quarantine))
    assert certify(gate, key, *quarantine).exit_code == 0
    assert verify(gate, "--evidence", str(gate.evidence), *quarantine).exit_code == 0


def test_only_a_line_feed_ends_a_line_of_a_listing(gate: Job, key: str) -> None:
    (gate.quarantine / "manifest/a\rb.txt").write_text("a note")
    quarantine = ("--quarantine", str(gate.quarantine))
    assert certify(gate, key, *quarantine).exit_code == 0
    result = verify(gate, "--evidence", str(gate.evidence), *quarantine)
    assert result.exit_code == 0, result.output


def test_what_cannot_be_certified(gate: Job, key: str) -> None:
    _flip(gate.output / "00001.tar")
    assert "00001.tar: is not what the receipt" in certify(gate, key).stderr
    (gate.output / "00001.tar").unlink()
    assert "00001.tar: admitted by the receipt" in certify(gate, key).stderr
    gate.report()
    (gate.output / "extra.tar").write_bytes(b"x")
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "extra.tar: in the output, but admitted by no receipt" in result.stderr
    # A run ends with 5 as well, and its report says why.
    report = gate.report("--certificate-key", key, code=5)
    assert (report["status"], report["certificate"]) == ("failed", None)
    (gate.output / "extra.tar").unlink()
    receipt = gate.evidence / "receipts/00000.tar.json"
    receipt.write_text("{}")
    assert "not a whole receipt" in certify(gate, key).stderr


def test_a_receipt_under_rules_of_its_own(gate: Job, key: str) -> None:
    (record,) = (gate.evidence / "contexts").glob("*.json")
    record.write_text(record.read_text().replace('"version": 3', '"version": 9'))
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "not of the rules it is named for" in result.stderr
    record.unlink()
    assert "is not on record" in certify(gate, key).stderr


def test_no_certificate_of_a_run_that_failed(job: MakeJob, tmp_path: Path, key: str) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    shard = tmp_path / "landing" / "00001.tar"
    shard.write_bytes(shard.read_bytes()[:-11000])
    assert gate.report("--certificate-key", key, code=1)["certificate"] is None
    assert not (gate.output / "_ingestgate").exists()
    assert certify(gate, key).exit_code == 5


def test_a_dry_run_certifies_nothing(job: MakeJob, tmp_path: Path, key: str) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    assert gate.run("--certificate-key", key, "--dry-run").exit_code == 2


def test_the_key_stays_in_the_driver(
    job: MakeJob, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    from ingestgate.pipeline import graph

    seen: list[RunSettings] = []
    build = graph.build

    def noting(
        pipeline: object, shards: Sequence[Shard], settings: RunSettings, earlier: Any
    ) -> None:
        seen.append(settings)
        build(pipeline, shards, settings, earlier)

    monkeypatch.setattr(graph, "build", noting)
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.report("--certificate-key", key)
    (settings,) = seen
    sent = pickle.dumps(settings)
    assert read_signing_key(key).private_bytes_raw() not in sent
    assert b"key.pem" not in sent


def test_a_training_job_can_read_what_it_verifies(gate: Job) -> None:
    folder = gate.output / "_ingestgate"
    assert folder.stat().st_mode & 0o777 == gate.output.stat().st_mode & 0o777
    path = folder / "certificate.dsse.json"
    assert path.stat().st_mode & 0o777 == (gate.output / "00000.tar").stat().st_mode & 0o777
