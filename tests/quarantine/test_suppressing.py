import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import EvidenceError, StorageError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.blocklists.suppressions import read_suppression
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.decisions import (
    DECIDED,
    REQUESTED,
    Decision,
    approve_release,
    decide,
    request_release,
)
from ingestgate.quarantine.looking import LookedAt, looked_at
from ingestgate.quarantine.manifest import ManifestRow
from ingestgate.quarantine.manifest_checking import unlogged
from ingestgate.quarantine.reviewers import Role, act, add_reviewer
from ingestgate.quarantine.sealed_manifests import (
    ACCEPTED,
    SEALED,
    put_on_record,
    sealed_manifests,
)
from ingestgate.quarantine.suppressing import SIGNED, signed_suppressions, suppress
from tests.quarantine.test_manifest import FINDING, row, write

NOW = datetime.now(UTC) + timedelta(seconds=5)
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    for number, name in enumerate(("ann", "rob", "vic"), 1)
}
ASSET, OTHER = f"{1:032x}", f"{2:032x}"


class Vault:
    """A quarantine; ann administers, rob reviews, vic may only look."""

    def __init__(self, root: Path) -> None:
        self.root = root / "vault"
        self.path = str(self.root)
        self.to = str(root / "suppression.json")
        for name, role in (("ann", 4), ("rob", 2), ("vic", 1)):
            line = public_line(KEYS[name].public_key())
            add_reviewer(self.path, name, line, Role(role), KEYS["ann"])

    def seal(
        self, *rows: ManifestRow, context: str = "c0" * 32, event: str = SEALED, by: str = ""
    ) -> None:
        """Writes a manifest and puts it on record, as a run does."""
        write(self.root, list(rows), context)
        known = sealed_manifests(read_log(self.path))
        with audit_writer(self.path) as writer:
            put_on_record(writer, unlogged(self.path, known), KEYS.get(by), event=event)

    def now(self, *assets: str) -> LookedAt:
        return looked_at(self.path, assets)

    def release(self, *assets: str) -> int:
        now = self.now(*assets)
        decide(self.path, now, Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
        line = request_release(self.path, now, "a beach", KEYS["rob"])
        approve_release(self.path, line.number, KEYS["ann"])
        return line.number

    def release_by_place(self, *assets: str) -> int:
        said = {"assets": list(assets), "reason": "a beach"}
        with audit_writer(self.path) as writer:
            act(writer, DECIDED, {**said, "decision": "false_positive"}, KEYS["rob"])
            number = act(writer, REQUESTED, said, KEYS["rob"]).number
        approve_release(self.path, number, KEYS["ann"])
        return number

    def suppress(self, number: int, by: str = "rob", **options: Any) -> int:
        options = {"until": None, "now": NOW, **options}
        return suppress(self.path, number, self.to, KEYS[by], **options)[1]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def finding(**changes: Any) -> dict[str, Any]:
    return {**FINDING._asdict(), **changes}


def test_an_approved_release_becomes_bytes_and_entries(vault: Vault) -> None:
    observed = finding(entry_id="e-20", action="observe")
    passed = finding(entry_id="e-21", suppression="f" * 16)
    line = finding(entry_id="hashes:pdq:7")
    vault.seal(row(1, findings=[finding(), observed, passed, line]))
    number = vault.release(ASSET)
    assert vault.suppress(number) == 1
    read = read_suppression(vault.to)
    assert read
    (asset,) = read[1].assets
    assert asset.sha256 == "2" * 64
    assert [(e.list_id, e.entry_id, e.list_version) for e in asset.entries] == [
        ("partner", "e-17", None),
        ("partner", "hashes:pdq:7", 3),
    ]
    assert (read[1].decided_by, read[1].reason) == (("rob", "ann"), "a beach")
    assert Path(vault.to).stat().st_mode & 0o077 == 0


def test_the_same_is_signed_by_several_and_each_is_on_record(vault: Vault) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)
    assert vault.suppress(number) == 1
    first = read_suppression(vault.to)
    assert vault.suppress(number) == 1, "the same person again is one"
    assert vault.suppress(number, "ann", now=NOW + timedelta(hours=1)) == 2
    second = read_suppression(vault.to)
    assert first
    assert second
    assert first[0].payload == second[0].payload
    lines = [line for line in read_log(vault.path) if line.event == SIGNED]
    assert [line.fields["assets"] for line in lines] == [[ASSET]] * 3
    assert signed_suppressions(lines) == {first[1].id}
    assert "2" * 64 not in json.dumps([dict(line.fields) for line in lines])
    with pytest.raises(UsageError, match="holds another suppression"):
        vault.suppress(number, until=NOW + timedelta(days=1))


def test_a_manifest_that_a_person_put_on_record_is_on_record(vault: Vault) -> None:
    vault.seal(row(1), event=ACCEPTED, by="ann")
    assert vault.suppress(vault.release(ASSET)) == 1


def test_one_person_alone_cannot(vault: Vault) -> None:
    vault.seal(row(1))
    decide(vault.path, vault.now(ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["ann"])
    line = request_release(vault.path, vault.now(ASSET), "a beach", KEYS["ann"])
    with pytest.raises(UsageError, match="is not approved; it takes two people"):
        vault.suppress(line.number, "ann")
    with pytest.raises(UsageError, match="takes two people"):
        approve_release(vault.path, line.number, KEYS["ann"])
    assert not Path(vault.to).exists()


def test_who_may_only_look_cannot_sign(vault: Vault) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)
    with pytest.raises(UsageError, match="vic is viewer; this takes the role reviewer"):
        vault.suppress(number, "vic")
    with audit_writer(vault.path) as writer, pytest.raises(UsageError):
        act(writer, SIGNED, {}, KEYS["vic"])
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(UsageError, match="nobody of this quarantine"):
        suppress(vault.path, number, vault.to, stranger, until=None, now=NOW)


def test_a_later_decision_takes_the_release_away(vault: Vault) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)
    decide(vault.path, vault.now(ASSET), Decision.CONFIRMED, "no beach", KEYS["rob"])
    with pytest.raises(UsageError, match=f"decided since request {number} was approved"):
        vault.suppress(number)
    again = vault.release(ASSET)
    with pytest.raises(UsageError, match=f"decided since request {number} was approved"):
        vault.suppress(number)
    assert vault.suppress(again) == 1
    with pytest.raises(UsageError, match="99: there is no such request"):
        vault.suppress(99)


def test_an_entry_that_was_not_there_to_be_seen_is_not_answered_to(vault: Vault) -> None:
    vault.seal(row(1))
    looked = vault.now(ASSET)
    decide(vault.path, looked, Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
    vault.seal(row(1, findings=[finding(entry_id="newer")]), context="c1" * 32)
    with pytest.raises(UsageError, match="what is sealed of it now is open"):
        request_release(vault.path, vault.now(ASSET), "a beach", KEYS["rob"])
    line = request_release(vault.path, looked, "a beach", KEYS["rob"])
    approve_release(vault.path, line.number, KEYS["ann"])
    vault.suppress(line.number)
    read = read_suppression(vault.to)
    assert read
    assert [entry.entry_id for entry in read[1].assets[0].entries] == ["e-17"]


@pytest.mark.parametrize(
    ("changes", "holds"),
    [({}, True), ({"sha256": "3" * 64}, False), ({"findings": [finding(entry_id="n")]}, False)],
    ids=["the same", "other bytes", "another entry"],
)
def test_what_was_sealed_since_has_to_be_what_was_looked_at(
    vault: Vault, changes: dict[str, Any], holds: bool
) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)
    (said,) = sealed_manifests(read_log(vault.path)).values()
    write(vault.root, [row(1, sealed_at="2026-01-03T03:04:06+00:00", **changes)])
    with pytest.raises(EvidenceError, match="is not what was sealed"):
        vault.suppress(number)
    with audit_writer(vault.path) as writer:
        put_on_record(writer, unlogged(vault.path, {}), None)
    assert sealed_manifests(read_log(vault.path))[said.name] != said
    if holds:
        assert vault.suppress(number) == 1
    else:
        with pytest.raises(UsageError, match="look again, and decide anew"):
            vault.suppress(number)


def test_a_changed_manifest_does_not_decide(vault: Vault) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)
    (path,) = (vault.root / "manifest").glob("*.jsonl")
    path.write_text(path.read_text().replace("2" * 64, "9" * 64))
    with pytest.raises(EvidenceError, match="is not what was sealed; it was changed"):
        vault.suppress(number)
    path.unlink()
    with pytest.raises(EvidenceError, match="is not there; it was removed"):
        vault.suppress(number)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row(1, sha256=None)], "its bytes were never there"),
        ([row(1, findings=[finding(view="sidecar:a.txt")])], "a sidecar of it matched"),
        ([row(1, findings=[], reason="companion_matched", tier=None)], "nothing to sign"),
        ([row(1, findings=[finding()] * 64)], "not all of them are on record"),
    ],
    ids=["no bytes", "sidecar", "companion", "too many"],
)
def test_only_bytes_that_matched(vault: Vault, rows: list[ManifestRow], reason: str) -> None:
    vault.seal(*rows)
    with pytest.raises(UsageError, match=reason):
        vault.suppress(vault.release(ASSET))
    assert not Path(vault.to).exists()


def test_of_two_contents_only_the_one_that_was_looked_at(vault: Vault) -> None:
    vault.seal(row(1))
    other = f"cd/{'cd' * 20}/{'3' * 64}.age"
    named = {"sealed_object": f"objects/{other}", "sealed_key": f"keys/{other}"}
    vault.seal(row(1, sha256="3" * 64, **named), context="c1" * 32)
    looked = looked_at(vault.path, [ASSET], ["cd" * 20], one_picture=True)
    decide(vault.path, looked, Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
    line = request_release(vault.path, looked, "a beach", KEYS["rob"])
    approve_release(vault.path, line.number, KEYS["ann"])
    vault.suppress(line.number)
    read = read_suppression(vault.to)
    assert read
    assert [asset.sha256 for asset in read[1].assets] == ["3" * 64]


def test_a_release_by_place_alone_is_of_what_was_sealed_until_then(vault: Vault) -> None:
    """As earlier versions wrote the log."""
    vault.seal(row(1))
    number = vault.release_by_place(ASSET)
    vault.seal(row(1, sha256="4" * 64, sealed_at="2100-01-01T00:00:00Z"), context="c1" * 32)
    assert vault.suppress(number) == 1
    read = read_suppression(vault.to)
    assert read
    assert [asset.sha256 for asset in read[1].assets] == ["2" * 64]
    vault.seal(row(1, sha256="3" * 64), context="c2" * 32)
    with pytest.raises(UsageError, match="different bytes at different times"):
        vault.suppress(number)


def test_companions_and_same_bytes_go_together(vault: Vault) -> None:
    fell = row(3, findings=[], reason="companion_matched", tier=None)
    vault.seal(row(1), row(2, findings=[finding(entry_id="e-18")]), fell)
    vault.suppress(vault.release(ASSET, OTHER, f"{3:032x}"))
    read = read_suppression(vault.to)
    assert read
    (asset,) = read[1].assets
    assert [entry.entry_id for entry in asset.entries] == ["e-17", "e-18"]


def test_what_cannot_be_logged_is_not_signed(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)

    def full(path: str, line: bytes, size: int) -> None:
        raise StorageError(f"{path}: no space")

    monkeypatch.setattr("ingestgate.quarantine.audit_writing._append", full)
    with pytest.raises(StorageError):
        vault.suppress(number)
    assert not Path(vault.to).exists()


def test_it_has_to_end_after_it_is_made(vault: Vault) -> None:
    vault.seal(row(1))
    number = vault.release(ASSET)
    with pytest.raises(UsageError, match=r"of release \d+: it must end after it is made"):
        vault.suppress(number, until=NOW)
    with pytest.raises(UsageError, match="until needs a time zone"):
        vault.suppress(number, until=datetime(2030, 1, 1))  # noqa: DTZ001
