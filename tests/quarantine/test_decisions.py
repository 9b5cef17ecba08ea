"""To what a decision belongs: to the bytes and the entries that were looked at."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine.audit import head_after, make_line, read_log
from ingestgate.quarantine.audit_writing import append_machine, audit_writer
from ingestgate.quarantine.decisions import (
    APPROVED,
    DECIDED,
    PUT_UP,
    REQUESTED,
    Decision,
    approve_release,
    decide,
    decisions,
    decisions_of,
    request_release,
)
from ingestgate.quarantine.looking import looked_at
from ingestgate.quarantine.manifest import ManifestRow
from ingestgate.quarantine.reviewers import Role, act, add_reviewer, remove_reviewer
from tests.quarantine.test_manifest import CONTEXT, FINDING, row, write
from tests.quarantine.vaults import log_manifests

ADA, ROB = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
ASSET = f"{1:032x}"
#: The sample that lay in its place first, and another.
FIRST, OTHER = "ab" * 20, "cd" * 20
SEALED = f"cd/{OTHER}/{'3' * 64}.age"
ANOTHER = {"sha256": "3" * 64, "sealed_object": f"objects/{SEALED}", "sealed_key": f"keys/{SEALED}"}
LATER = "2100-01-01T00:00:00Z"


def seal(root: str, *rows: ManifestRow, context: str = CONTEXT) -> None:
    """Writes a manifest and puts it on record, as a run does."""
    write(Path(root), list(rows), context)
    log_manifests(Path(root))


def finding(**changes: Any) -> dict[str, Any]:
    return {**FINDING._asdict(), **changes}


@pytest.fixture
def root(tmp_path: Path) -> str:
    seal(str(tmp_path), row(1))
    for name, key, role in (("ada", ADA, Role.ADMINISTRATOR), ("rob", ROB, Role.REVIEWER)):
        add_reviewer(str(tmp_path), name, public_line(key.public_key()), role, ADA)
    return str(tmp_path)


def state(root: str, **changes: Any) -> str:
    """Of a row of the asset's place."""
    return decisions(root).state(row(1, **changes).model_dump(mode="json")).value


def settle(root: str, decision: Decision, *samples: str) -> None:
    decide(root, looked_at(root, [ASSET], samples), decision, "seen", ROB)


def ask(root: str) -> int:
    return request_release(root, looked_at(root, [ASSET]), "a beach", ROB).number


def write_line(root: str, event: str, key: Ed25519PrivateKey = ROB, **fields: Any) -> int:
    with audit_writer(root) as writer:
        return act(writer, event, fields, key).number


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"sealed_at": LATER, "policy_digest": "8" * 64}, True),
        ({"reason": "matched_before", "findings": [finding(list_version=9, distance=2)]}, True),
        ({"reason": "companion_matched", "tier": None, "findings": []}, True),
        ({"findings": [finding(), finding(entry_id="seen", action="observe")]}, True),
        ({"findings": [finding(), finding(entry_id="let-pass", suppression="f" * 16)]}, True),
        ({"sha256": "3" * 64}, False),
        ({"sha256": None}, False),
        ({"findings": [finding(), finding(entry_id="another")]}, False),
        ({"findings": [finding(list_id="another-partner")]}, False),
    ],
    ids=[
        "the same",
        "again",
        "withdrawn since",
        "fallen with another",
        "observed too",
        "suppressed too",
        "other bytes",
        "no bytes",
        "another entry",
        "another partner",
    ],
)
def test_what_was_not_looked_at_is_open(root: str, changes: dict[str, Any], holds: bool) -> None:
    settle(root, Decision.FALSE_POSITIVE)
    assert state(root, **changes) == ("false_positive" if holds else "open")
    approve_release(root, ask(root), ADA)
    assert state(root, **changes) == ("released" if holds else "open")


def test_an_entry_known_by_its_line_is_another_in_another_version(root: str) -> None:
    seal(root, row(1, findings=[finding(entry_id="hashes:pdq:7")]))
    settle(root, Decision.CONFIRMED)
    assert state(root, findings=[finding(entry_id="hashes:pdq:7")]) == "confirmed"
    assert state(root, findings=[finding(entry_id="hashes:pdq:7", list_version=4)]) == "open"


def test_of_what_has_no_bytes_the_source_that_matched_is_what_was_looked_at(root: str) -> None:
    by_source = finding(view="url", kind="source", signal_type="domain")
    same = {"sha256": None, "md5": None, "sha1": None, "findings": [by_source]}
    seal(root, row(1, **same, provenance={"url": "https://a.example/1", "at": "1"}))
    settle(root, Decision.CONFIRMED)
    seen, other = "https://a.example/1", "https://a.example/2"
    assert state(root, **same, provenance={"url": seen, "at": "2"}) == "confirmed"
    assert state(root, **same, provenance={"url": other, "at": "1"}) == "open"


def test_each_content_of_a_place_has_a_state_of_its_own(root: str) -> None:
    seal(root, row(1, **ANOTHER), context="c1" * 32)
    with pytest.raises(UsageError, match=f"each in a sample of its own: {FIRST}, {OTHER}; look"):
        looked_at(root, [ASSET], one_picture=True)
    with pytest.raises(UsageError, match="nothing was sealed of it in the samples named"):
        looked_at(root, [ASSET], ["ef" * 20])
    settle(root, Decision.CONFIRMED, FIRST)
    settle(root, Decision.FALSE_POSITIVE, OTHER)
    assert (state(root), state(root, sha256="3" * 64)) == ("confirmed", "false_positive")
    with pytest.raises(UsageError, match="is confirmed; only a false_positive"):
        ask(root)
    settle(root, Decision.ESCALATE)
    assert {state(root), state(root, sha256="3" * 64)} == {"escalate"}


def test_each_content_of_a_place_is_up_for_review_until_somebody_decides(root: str) -> None:
    seal(root, row(1, **ANOTHER), context="c1" * 32)
    settle(root, Decision.CONFIRMED)
    append_machine(root, PUT_UP, {"assets": [ASSET]})
    settle(root, Decision.FALSE_POSITIVE, OTHER)
    found = decisions(root)
    rows = [row(1, sha256=digit * 64).model_dump(mode="json") for digit in "234"]
    assert [found.is_up_for_review(each) for each in rows] == [True, False, True]
    assert not found.is_up_for_review(row(2).model_dump(mode="json"))
    assert [found.state(each) for each in rows] == ["confirmed", "false_positive", "open"]


def test_what_is_sealed_since_the_request_is_not_released(root: str) -> None:
    settle(root, Decision.FALSE_POSITIVE)
    number = ask(root)
    seal(root, row(1, **ANOTHER), context="c1" * 32)
    approve_release(root, number, ADA)
    assert (state(root), state(root, sha256="3" * 64)) == ("released", "open")


def test_a_request_of_somebody_removed_since_has_to_be_asked_for_again(root: str) -> None:
    settle(root, Decision.FALSE_POSITIVE)
    number = ask(root)
    remove_reviewer(root, "rob", ADA)
    with pytest.raises(UsageError, match="rob asked for it, and is no reviewer any more; decide f"):
        approve_release(root, number, ADA)
    add_reviewer(root, "rob", public_line(ROB.public_key()), Role.VIEWER, ADA)
    with pytest.raises(UsageError, match="is no reviewer any more"):
        approve_release(root, number, ADA)
    assert state(root) == "release_requested"
    remove_reviewer(root, "rob", ADA)
    add_reviewer(root, "rob", public_line(ROB.public_key()), Role.REVIEWER, ADA)
    settle(root, Decision.FALSE_POSITIVE)
    approve_release(root, ask(root), ADA)
    assert state(root) == "released"


def test_an_approval_on_record_holds_though_who_had_asked_was_gone(root: str) -> None:
    settle(root, Decision.FALSE_POSITIVE)
    number = ask(root)
    remove_reviewer(root, "rob", ADA)
    write_line(root, APPROVED, ADA, request=number)
    assert state(root) == "released"


def test_the_log_names_neither_bytes_nor_entries(root: str) -> None:
    settle(root, Decision.FALSE_POSITIVE)
    approve_release(root, ask(root), ADA)
    log = b"".join(line.encoded() for line in read_log(root))
    assert log.count(b"looked_at") == 2
    for value in ("2" * 64, FINDING.entry_id, "example.org"):
        assert value.encode() not in log


def test_lines_that_name_the_place_alone_are_about_what_was_sealed_until_then(root: str) -> None:
    write_line(root, DECIDED, assets=[ASSET], decision="false_positive", reason="x")
    assert (state(root), state(root, sealed_at=LATER)) == ("false_positive", "open")
    assert state(root, sha256="3" * 64) == "false_positive", "the log does not tell"
    number = write_line(root, REQUESTED, assets=[ASSET], reason="x")
    assert (state(root), state(root, sealed_at=LATER)) == ("release_requested", "open")
    approve_release(root, number, ADA)
    assert (state(root), state(root, sealed_at=LATER)) == ("released", "open")


def test_a_line_by_place_says_nothing_of_what_is_sealed_after_lines_that_follow_it(
    root: str,
) -> None:
    lines = list(read_log(root))

    def add(time: str, event: str, key: Ed25519PrivateKey | None, **fields: Any) -> None:
        lines.append(make_line(head_after(lines[-1]), time, event, fields, key))

    def states() -> list[str]:
        found = decisions_of(lines)
        times = ("2026-01-01T00:00:00Z", "2098-06-01T00:00:00Z", "2098-06-01T00:00:01Z")
        rows = [row(1, sealed_at=time).model_dump(mode="json") for time in times]
        return [found.state(each).value for each in rows]

    to_come, begun = "2099-01-01T00:00:00+00:00", "2098-06-01T00:00:00+00:00"
    add(to_come, DECIDED, ROB, assets=[ASSET], decision="false_positive", reason="x")
    add(to_come, REQUESTED, ROB, assets=[ASSET], reason="x")
    assert states() == ["release_requested"] * 3, "nothing was sealed since, by the log"
    add(begun, "run.begun", None)
    assert states() == ["release_requested", "open", "open"]
    add(to_come, APPROVED, ADA, request=lines[-2].number)
    assert states() == ["released", "open", "open"]


def test_a_decision_about_what_was_looked_at_ends_one_by_place(root: str) -> None:
    write_line(root, DECIDED, assets=[ASSET], decision="false_positive", reason="x")
    with pytest.raises(UsageError, match="is open; only a false_positive"):
        ask(root)  # nobody said of what it is one
    number = write_line(root, REQUESTED, assets=[ASSET], reason="x")
    settle(root, Decision.CONFIRMED)
    with pytest.raises(UsageError, match="something else was decided since"):
        approve_release(root, number, ADA)
    assert (state(root), state(root, sealed_at=LATER)) == ("confirmed", "confirmed")
    assert state(root, sha256="3" * 64) == "open"
    write_line(root, DECIDED, assets=[ASSET], decision="escalate", reason="x")
    assert (state(root), state(root, sealed_at=LATER)) == ("escalate", "open"), "the last counts"


@pytest.mark.parametrize(
    "looked",
    [
        {},
        [],
        {ASSET: {}},
        {ASSET: {"": []}},
        {ASSET: {"c": "entry"}},
        {ASSET: ["c"]},
        {ASSET: {"c": []}, "other": {"c": []}},
    ],
)
def test_a_line_that_does_not_say_what_was_looked_at_is_refused(root: str, looked: Any) -> None:
    said = {"assets": [ASSET], "decision": "escalate", "reason": "x", "looked_at": looked}
    write_line(root, DECIDED, **said)
    with pytest.raises(EvidenceError, match=r"line 4: asset\.decided: does not say what it has"):
        decisions(root)


@pytest.mark.parametrize("entries", [["another"], None], ids=["an entry", "a content"])
def test_a_request_for_more_than_was_decided_about_is_found(
    root: str, entries: list[str] | None
) -> None:
    settle(root, Decision.FALSE_POSITIVE)
    (content,) = looked_at(root, [ASSET])[ASSET]
    looked = {"another": []} if entries is None else {content: entries}
    write_line(root, REQUESTED, assets=[ASSET], reason="x", looked_at={ASSET: looked})
    with pytest.raises(EvidenceError, match="nobody called a false positive"):
        decisions(root)


def test_an_approval_of_nothing_is_found(root: str) -> None:
    write_line(root, APPROVED, ADA, request="4")
    with pytest.raises(EvidenceError, match="no such request"):
        decisions(root)
