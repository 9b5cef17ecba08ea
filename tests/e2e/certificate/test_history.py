"""How old what a certificate states is, and which certificates were there before."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.signing_keys import read_signing_key
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.certificate.certifying import CertifyRequest
from ingestgate.pipeline.certificate.certifying import certify as make
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import context_digest
from tests.e2e.certificate.conftest import (
    certificate,
    certify,
    newer,
    refused,
    rescan,
    rewrite,
    verify,
)
from tests.e2e.conftest import Job


def test_an_old_certificate(gate: Job, key: str) -> None:
    assert verify(gate, "--max-age", "1").exit_code == 0
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    rewrite(gate, lambda content: content["predicate"].update(issuedAt=old), key)
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
        rewrite(gate, change, key)
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


def test_a_certificate_of_tomorrow(gate: Job, key: str) -> None:
    late = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    rewrite(gate, lambda content: content["predicate"].update(issuedAt=late), key)
    refused(gate, "issued in the future")
    # Nobody who signs after that signs this time as well; nothing else stands against it here.
    shutil.rmtree(gate.evidence / "certificates")
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
    rewrite(gate, lambda content: content["predicate"].pop("supersedes"), key)
    assert "signed as well" not in certify(gate, key).stdout
    said = certificate(gate)["predicate"]
    assert first in {said["supersedes"], *said["supersedesAlso"]}
    assert "signed as well" in certify(gate, key).stdout


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


def test_a_certificate_made_while_there_was_no_log_is_made_anew(gate: Job, key: str) -> None:
    def forget(content: dict[str, Any]) -> None:
        del content["predicate"]["evidence"]["auditLog"]

    rewrite(gate, forget, key)
    quarantine = ("--quarantine", str(gate.quarantine))
    refused(gate, "and audit log were there", extra=("--evidence", str(gate.evidence), *quarantine))
    assert certify(gate, key, *quarantine).exit_code == 0
    assert verify(gate, "--evidence", str(gate.evidence), *quarantine).exit_code == 0
