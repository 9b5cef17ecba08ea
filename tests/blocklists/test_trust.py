"""The attacks of The Update Framework's tests, as far as a folder of lists knows them."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.signing import sign_list
from ingestgate.blocklists.trust import LIST_TYPE, SIGNATURES, Trust
from tests.blocklists.conftest import ISSUED

Open = Callable[..., ListSet]
Compile = Callable[..., ListInfo]
VALUE, OTHER = "0123456789abcdef0123456789abcdef", "f" * 31 + "0"
ALICE, BOB, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
ONE = Trust({"alice": ALICE.public_key()})
ANY = Trust({"alice": ALICE.public_key(), "bob": BOB.public_key()})
BOTH = Trust({"alice": ALICE.public_key(), "bob": BOB.public_key()}, threshold=2)


@pytest.fixture
def directory(tmp_path: Path, compiled: Compile) -> Path:
    compiled(md5=VALUE, expires=ISSUED + timedelta(days=30))
    return tmp_path / "lists" / "partner-1"


def sign(directory: Path, *keys: Ed25519PrivateKey) -> None:
    for key in keys:
        sign_list(str(directory), key, now=ISSUED)


def refused(opened: Open, reason: str, trust: Trust = ONE) -> None:
    for verify in (True, False):  # at the driver, and in workers
        with pytest.raises(ListError, match=reason) as caught:
            opened(trust=trust, verify=verify)
        assert VALUE not in str(caught.value)


def test_signers_are_reported(directory: Path, opened: Open) -> None:
    digest = opened().digest
    sign(directory, ALICE, BOB, EVE)
    assert opened(trust=ONE).infos[0].signed_by == ("alice",)
    assert opened(trust=BOTH).infos[0].signed_by == ("alice", "bob")
    assert opened().infos[0].signed_by == ()
    assert opened(trust=ONE).digest == digest


def test_unsigned(directory: Path, opened: Open) -> None:
    assert opened()
    refused(opened, "partner-1: not signed, and the policy names keys.*lists sign")


def test_signed_by_somebody_else(directory: Path, opened: Open) -> None:
    sign(directory, EVE)
    refused(opened, "signed by 0 of the 1 trusted keys, the policy wants 1")


def test_too_few(directory: Path, opened: Open) -> None:
    sign(directory, ALICE, EVE)
    assert opened(trust=ANY).infos[0].signed_by == ("alice",)
    refused(opened, r"signed by 1 of the 2 trusted keys \(alice\), the policy wants 2", BOTH)


def test_one_key_signing_twice_counts_once(directory: Path, opened: Open) -> None:
    sign(directory, ALICE, ALICE)
    path = directory / SIGNATURES
    envelope = Envelope.read(str(path), LIST_TYPE, ListError)
    assert envelope
    doubled = (*envelope.signatures, *envelope.signatures)
    Envelope(LIST_TYPE, envelope.payload, doubled).write(str(path))
    refused(opened, "signed by 1 of the 2", BOTH)


def test_nothing_is_believed_before_the_signature(directory: Path, opened: Open) -> None:
    (directory / "list.json").write_bytes(b"not even JSON")
    refused(opened, "not signed")


@pytest.mark.parametrize(
    "field", [{"version": 2}, {"expires": None}, {"action": "observe"}, {"partner": "x"}]
)
def test_changed_statement(directory: Path, opened: Open, field: dict[str, Any]) -> None:
    sign(directory, ALICE)
    manifest = directory / "list.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **field}))
    refused(opened, "signs another list.json than the one beside it")


def test_changed_statement_and_payload(directory: Path, opened: Open) -> None:
    sign(directory, ALICE)
    manifest = directory / "list.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "expires": None}))
    envelope = Envelope.read(str(directory / SIGNATURES), LIST_TYPE, ListError)
    assert envelope
    forged = Envelope(LIST_TYPE, manifest.read_bytes(), envelope.signatures)
    forged.write(str(directory / SIGNATURES))
    refused(opened, "signed by 0 of the 1")


def test_mix_and_match_of_versions(
    tmp_path: Path, directory: Path, compiled: Compile, opened: Open
) -> None:
    sign(directory, ALICE)
    compiled("partner", 2, md5=OTHER, expires=ISSUED + timedelta(days=30))
    newer = tmp_path / "lists" / "partner-2"
    shutil.copy(directory / SIGNATURES, newer / SIGNATURES)
    refused(opened, "signs another list.json")
    sign(newer, ALICE)
    assert opened(trust=ONE).infos[0].version == 2
    shutil.copy(directory / "md5.arrow", newer / "md5.arrow")
    with pytest.raises(ListError, match=r"md5.arrow has not the SHA-256 that list.json says"):
        opened(trust=ONE)


def test_signature_of_another_list(
    tmp_path: Path, directory: Path, compiled: Compile, opened: Open
) -> None:
    sign(directory, ALICE)
    compiled("other", 1, md5=VALUE)
    shutil.copy(directory / SIGNATURES, tmp_path / "lists" / "other-1" / SIGNATURES)
    refused(opened, "other-1/list.dsse.json: signs another list.json")


def test_flipped_byte_and_truncation_of_signatures(directory: Path, opened: Open) -> None:
    sign(directory, ALICE)
    path = directory / SIGNATURES
    fields = json.loads(path.read_text())
    for key in ("payload", "payloadType"):
        path.write_text(json.dumps({**fields, key: flipped(fields[key])}))
        refused(opened, "signs another|not a signed statement")
    (signature,) = fields["signatures"]
    signature["sig"] = flipped(signature["sig"])
    path.write_text(json.dumps({**fields, "signatures": [signature]}))
    refused(opened, "signed by 0 of the 1")
    path.write_text(json.dumps(fields)[:-20])
    refused(opened, "not a DSSE envelope")


def flipped(text: str) -> str:
    return text[:20] + ("A" if text[20] != "A" else "B") + text[21:]


def test_freeze(directory: Path, opened: Open) -> None:
    sign(directory, ALICE)
    with pytest.raises(ListError, match="expired"):
        opened(trust=ONE, now=ISSUED + timedelta(days=31))


def test_a_list_without_expiry_is_neither_signed_nor_believed(
    tmp_path: Path, compiled: Compile, opened: Open
) -> None:
    compiled(md5=VALUE)
    directory = tmp_path / "lists" / "partner-1"
    assert opened().infos[0].expires is None
    with pytest.raises(ListError, match=r"states no expiry.*--expires"):
        sign(directory, ALICE)
    statement = (directory / "list.json").read_bytes()
    Envelope(LIST_TYPE, statement).signed(ALICE).write(str(directory / SIGNATURES))
    refused(opened, "list partner version 1 states no expiry")


def test_a_list_that_is_not_intact_is_not_signed(directory: Path) -> None:
    with pytest.raises(UsageError, match="wants the directory of one list"):
        sign_list(str(directory.parent), ALICE, now=ISSUED)
    with pytest.raises(ListError, match="expired"):
        sign_list(str(directory), ALICE, now=ISSUED + timedelta(days=31))
    (directory / "md5.arrow").write_bytes(b"x")
    with pytest.raises(ListError, match=r"md5\.arrow has"):
        sign(directory, ALICE)
    assert not (directory / SIGNATURES).exists()


def test_signing_anew_drops_what_was_signed_before(directory: Path, opened: Open) -> None:
    sign(directory, ALICE, BOB)
    manifest = directory / "list.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "partner": "x"}))
    sign(directory, BOB)
    assert opened(trust=ANY).infos[0].signed_by == ("bob",)
