"""What is certified, by whom, and what cannot be."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # has no __all__

from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.shard import Shard
from ingestgate.assets.signing_keys import generate_signing_key, key_id, read_signing_key
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline import run as run_module
from ingestgate.pipeline.certificate.certifying import CertifyRequest
from ingestgate.pipeline.certificate.certifying import certify as make
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import RunSettings, context_digest
from tests.archives import make_tar
from tests.e2e.certificate.conftest import (
    certificate,
    certify,
    flip,
    flip_metadata,
    newer,
    refused,
    rescan,
    rewrite,
    verify,
)
from tests.e2e.conftest import WRITERS, Job, read_only
from tests.pictures import jpeg

MakeJob = Callable[..., Job]


def test_a_canary_that_nothing_was_shown_by_is_not_said_to_be_caught(
    job: MakeJob, tmp_path: Path, key: str
) -> None:
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    policy = tmp_path / "policy.yaml"
    policy.write_text("url_columns: []\nlists: {partner: {action: observe}}\n")
    gate.report("--certificate-key", key, "--policy", str(policy))
    (screening,) = certificate(gate)["predicate"]["screenings"]
    assert screening["canaries"] == {"partner": ["md5", "pdq"]}
    assert screening["judgedWith"][0]["signalTypes"] == ["domain", "md5", "pdq"]
    assert screening["judgedWith"][0]["action"] == "observe"
    assert screening["notSearched"] == ["domain", "expression", "url"]
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

    rewrite(gate, only(f"{hashlib.sha256(b'').hexdigest()}  a.txt\n"), key)
    refused(gate, f"{subject['name']}: changed: a file in it is not what was certified")
    rewrite(gate, only(), key)
    assert verify(gate).exit_code == 0, "stores and copies need not have empty folders"


def test_what_the_last_rescan_found_something_in_is_not_certified(gate: Job, key: str) -> None:
    rescan(gate, matched=1)
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "00000.tar: the last rescan with the lists in force found something" in result.stderr


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
    flip_metadata(gate)
    assert "judged by other rules" in certify(gate, key).stderr


def test_only_a_line_feed_ends_a_line_of_a_listing(gate: Job, key: str) -> None:
    (gate.quarantine / "manifest/a\rb.txt").write_text("a note")
    quarantine = ("--quarantine", str(gate.quarantine))
    assert certify(gate, key, *quarantine).exit_code == 0
    result = verify(gate, "--evidence", str(gate.evidence), *quarantine)
    assert result.exit_code == 0, result.output


def test_what_cannot_be_certified(gate: Job, key: str) -> None:
    flip(gate.output / "00001.tar")
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


def test_a_ledger_that_was_changed_since_is_not_certified(gate: Job, key: str) -> None:
    part = gate.evidence / "ledger/00000.tar.parts/part-00000.parquet"
    further = part.with_name("part-00001.parquet")
    shutil.copy(part, further)
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "00000.tar: its ledger has 2 parts, its receipt says 1; run again" in result.stderr
    further.unlink()
    flip(part)
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "00000.tar.parts: damaged, as its shard's receipt tells" in result.stderr


def test_a_manifest_that_was_changed_since_is_not_certified(gate: Job, key: str) -> None:
    quarantine = ("--quarantine", str(gate.quarantine))
    path = next((gate.quarantine / "manifest").glob("00000*.jsonl"))
    path.write_text(path.read_text() + "\n")
    result = certify(gate, key, *quarantine)
    assert result.exit_code == 5
    assert f"manifest/{path.name}: is not what was sealed, by the receipt of" in result.stderr
    path.unlink()
    assert f"manifest/{path.name}: is not there, by the" in certify(gate, key, *quarantine).stderr


def test_a_run_certifies_no_output_whose_files_have_other_sizes(gate: Job, key: str) -> None:
    """It takes no digests again of what it wrote."""
    request = CertifyRequest(
        str(gate.output), str(gate.evidence), None, *_in_force(gate), rehash=False
    )
    keys, now = [read_signing_key(key)], datetime.now(UTC)
    make(request, keys, now)
    with (gate.output / "00001.tar").open("ab") as file:
        file.write(b"x")
    with pytest.raises(EvidenceError, match=r"00001\.tar: is not what the receipt"):
        make(request, keys, now)


def test_a_folder_that_was_changed_since_is_not_certified(
    job: MakeJob, tmp_path: Path, key: str
) -> None:
    gate = job(WRITERS["folder"](tmp_path / "landing"))
    gate.report()
    flip(gate.output / "landing" / "k00.jpg")
    result = certify(gate, key)
    assert result.exit_code == 5
    assert "landing: is not what the receipt of landing says was admitted" in result.stderr


def _in_force(gate: Job) -> tuple[str, str]:
    """The digests of rules and lists."""
    lists = ListSet.open(gate.lists, now=datetime.now(UTC)).digest
    return context_digest(Policy(), lists), lists


@pytest.mark.parametrize("before", [True, False], ids=["certified before", "never certified"])
def test_an_output_that_cannot_take_a_certificate_is_told_before_it_is_read(
    gate: Job, key: str, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    statements = gate.output / "_ingestgate"
    if not before:
        shutil.rmtree(statements)
    with monkeypatch.context() as patch:
        read_only(patch, gate.output)
        patch.delattr("ingestgate.pipeline.certificate.certifying.admitted_subjects")
        result = certify(gate, key)
    assert result.exit_code == 1
    where = statements if before else gate.output
    assert f"no file can be made in {where}: Read-only file system" in result.stderr


def test_only_the_folder_of_statements_need_be_writable(
    gate: Job, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        read_only(patch, gate.output, but=gate.output / "_ingestgate")
        result = certify(gate, key)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("inner", ["a/b", "a/b/0.tar"])
def test_what_was_committed_inside_an_image_folder_is_not_certified(
    job: MakeJob, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    """As runs of earlier versions could leave it."""
    landing = tmp_path / "landing"
    (landing / "a" / "b").mkdir(parents=True)
    (landing / "a" / "x.jpg").write_bytes(jpeg(0))
    gate = job(str(landing / "a"))
    gate.report()
    if inner.endswith(".tar"):
        (landing / inner).write_bytes(make_tar([("x.jpg", jpeg(1))]))
    else:
        (landing / inner / "x.jpg").write_bytes(jpeg(1))
    WRITERS["folder"](landing / "c")
    gate.inputs = [str(landing / inner), str(landing / "c")]
    refused = gate.run()
    assert refused.exit_code == 2
    assert f"{inner}: lies inside the image folder a, which" in refused.stderr
    assert not (gate.output / inner).exists()
    monkeypatch.setattr(run_module, "refuse_nested", lambda *arguments: None)
    gate.report()
    result = certify(gate, key)
    assert result.exit_code == 5
    said = f"{inner}: admitted by the receipt of {inner}, and inside the image folder a, which has"
    assert said in result.stderr
