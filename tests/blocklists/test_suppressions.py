import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.assets.verdict import Action, Finding
from ingestgate.blocklists.entries import is_line_number
from ingestgate.blocklists.open_list import MAX_FINDINGS
from ingestgate.blocklists.suppressions import (
    SUPPRESSION_TYPE,
    SuppressedAsset,
    SuppressedEntry,
    Suppression,
    Suppressions,
    read_suppression,
)
from ingestgate.blocklists.trust import LIST_TYPE, Trust

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALICE, BOB, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
TRUST = Trust({"alice": ALICE.public_key(), "bob": BOB.public_key()}, threshold=2)
BYTES, OTHER = "a1" * 32, "b2" * 32


def entry(name: str, version: int | None = None) -> SuppressedEntry:
    return SuppressedEntry(list_id="partner", entry_id=name, list_version=version)


def suppression(**changes: Any) -> Suppression:
    fields: dict[str, Any] = {
        "id": "0123456789abcdef",
        "assets": (SuppressedAsset(sha256=BYTES, entries=(entry("e-1"),)),),
        "decided_by": ("rob", "ann"),
        "reason": "a beach",
        "made": NOW - timedelta(days=1),
    }
    return Suppression(**fields | changes)


def write(path: Path, made: Suppression, *keys: Ed25519PrivateKey, kind: str = "") -> str:
    envelope = Envelope(kind or SUPPRESSION_TYPE, made.payload())
    for key in keys:
        envelope = envelope.signed(key)
    envelope.write(str(path))
    return str(path)


def opened(path: Path | str, now: datetime = NOW, trust: Trust = TRUST) -> Suppressions:
    return Suppressions.open(str(path), trust, now=now)


def finding(name: str = "e-1", **changes: Any) -> Finding:
    made = Finding("partner", 3, name, "A1", "pdq", "perceptual", "full/r0", 4, 31, "quarantine")
    return made._replace(**changes)


def test_without_trusted_keys_it_says_where_to_name_them(tmp_path: Path) -> None:
    path = write(tmp_path / "one", suppression(), ALICE, BOB)
    with pytest.raises(ListError, match=r"trusts nobody .* under trust\.suppression_keys"):
        opened(path, trust=Trust())


def test_it_lets_those_bytes_pass_for_those_entries(tmp_path: Path) -> None:
    path = write(tmp_path / "one", suppression(), ALICE, BOB)
    found = opened(path)
    (one,) = found.in_force
    assert one.signed_by == ("alice", "bob")
    assert [f.suppression for f in found.applied(BYTES, [finding(), finding("e-2")])] == [
        one.id,
        "",
    ]
    (passed,) = found.applied(BYTES, [finding()])
    assert not passed.quarantines
    assert passed == finding(suppression=one.id)
    for nothing in (OTHER, None, ""):
        assert found.applied(nothing, [finding()]) == [finding()]
    assert found.applied(BYTES, [finding(list_id="another")]) == [finding(list_id="another")]


def test_what_a_sidecar_matched_counts(tmp_path: Path) -> None:
    found = opened(write(tmp_path / "one", suppression(), ALICE, BOB))
    sidecar = finding(view="sidecar:a.txt")
    assert found.applied(BYTES, [sidecar]) == [sidecar]


def test_what_only_observes_is_left_as_it_is(tmp_path: Path) -> None:
    found = opened(write(tmp_path / "one", suppression(), ALICE, BOB))
    observed = finding(action=Action.OBSERVE.value)
    assert found.applied(BYTES, [observed]) == [observed]


def test_an_entry_that_is_a_line_is_of_one_version(tmp_path: Path) -> None:
    assets = (SuppressedAsset(sha256=BYTES, entries=(entry("hashes:pdq:7", 3),)),)
    found = opened(write(tmp_path / "one", suppression(assets=assets), ALICE, BOB))
    line = finding("hashes:pdq:7")
    assert found.applied(BYTES, [line])[0].suppression
    assert not found.applied(BYTES, [line._replace(list_version=4)])[0].suppression
    assert is_line_number("hashes:pdq:7")
    assert not any(map(is_line_number, ("e-1", "7", "pdq:x", "a:b:7", "")))


def test_where_some_matches_may_have_been_left_out_all_count(tmp_path: Path) -> None:
    found = opened(write(tmp_path / "one", suppression(), ALICE, BOB))
    many = [finding("e-1", distance=number % 32) for number in range(MAX_FINDINGS)]
    assert all(one.suppression for one in found.applied(BYTES, many[1:]))
    assert found.applied(BYTES, many) == many
    other = finding(list_id="another")
    assert found.applied(BYTES, [*many, other]) == [*many, other]


names = st.sampled_from(["e-1", "e-2", "e-3"])
digests = st.sampled_from([BYTES, OTHER, "c3" * 32])
findings = st.builds(
    finding,
    names,
    list_id=st.sampled_from(["partner", "another"]),
    action=st.sampled_from(["quarantine", "observe", "unheard of"]),
    view=st.sampled_from(["content", "full/r90", "url", "declared:md5", "sidecar:a"]),
    kind=st.sampled_from(["digest", "perceptual", "source"]),
    signal_type=st.sampled_from(["md5", "pdq", "domain"]),
    distance=st.integers(0, 31),
)


@given(
    st.dictionaries(digests, st.sets(names, min_size=1), max_size=2),
    digests | st.none(),
    st.lists(findings, max_size=6),
)
def test_nothing_but_the_bytes_and_the_entry_decides(
    known: dict[str, set[str]], sha256: str | None, given_findings: list[Finding]
) -> None:
    made = [
        suppression(
            id=f"{number:016x}",
            assets=(SuppressedAsset(sha256=one, entries=tuple(map(entry, sorted(several)))),),
        )
        for number, (one, several) in enumerate(known.items())
    ]
    after = Suppressions(made).applied(sha256, given_findings)
    assert [one._replace(suppression="") for one in after] == given_findings
    for before, one in zip(given_findings, after, strict=True):
        answered = before.list_id == "partner" and before.entry_id in known.get(sha256 or "", ())
        passes = answered and before.quarantines and not before.view.startswith("sidecar:")
        assert bool(one.suppression) == passes
        assert one.quarantines == (before.quarantines and not passes)


@pytest.mark.parametrize("name", ["md5", "sha1", "pdq", "phash", "url"])
def test_only_a_sha256_names_an_asset(tmp_path: Path, name: str) -> None:
    fields = json.loads(suppression().payload())
    fields["assets"][0][name] = "00" * 32
    envelope = Envelope(SUPPRESSION_TYPE, json.dumps(fields).encode()).signed(ALICE).signed(BOB)
    envelope.write(str(tmp_path / "one"))
    with pytest.raises(ListError, match="not a suppression"):
        opened(tmp_path / "one")
    for short in ("a1" * 16, "A1" * 32, BYTES + "\n"):
        with pytest.raises(ValidationError):
            SuppressedAsset(sha256=short, entries=(entry("e"),))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ((), "signed by 0 of the 2 keys"),
        ((ALICE,), r"signed by 1 of the 2 keys .* \(alice\), it takes 2"),
        ((ALICE, EVE), r"\(alice\), it takes 2"),
        ((EVE,), "signed by 0 of the 2 keys"),
    ],
    ids=["nobody", "one alone", "one and a stranger", "a stranger"],
)
def test_it_takes_two_known_people(
    tmp_path: Path, keys: tuple[Ed25519PrivateKey, ...], reason: str
) -> None:
    with pytest.raises(ListError, match=reason):
        opened(write(tmp_path / "one", suppression(), *keys))


def test_one_is_never_enough_whatever_the_threshold(tmp_path: Path) -> None:
    path = write(tmp_path / "one", suppression(), ALICE)
    with pytest.raises(ListError, match="it takes 2"):
        opened(path, trust=Trust({"alice": ALICE.public_key()}))


def test_what_was_changed_or_signed_as_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one"
    write(path, suppression(), ALICE, BOB)
    envelope = Envelope.read(str(path), SUPPRESSION_TYPE, ListError)
    assert envelope
    payload = envelope.payload.replace(BYTES.encode(), OTHER.encode())
    Envelope(SUPPRESSION_TYPE, payload, envelope.signatures).write(str(path))
    with pytest.raises(ListError, match="signed by 0 of the 2") as caught:
        opened(path)
    assert OTHER not in str(caught.value)
    write(path, suppression(), ALICE, BOB, kind=LIST_TYPE)
    with pytest.raises(ListError, match="not a signed statement of type"):
        opened(path)
    as_list = Envelope(LIST_TYPE, suppression().payload()).signed(ALICE).signed(BOB)
    Envelope(SUPPRESSION_TYPE, suppression().payload(), as_list.signatures).write(str(path))
    with pytest.raises(ListError, match="signed by 0 of the 2"):
        opened(path)


def test_it_ends_and_is_named_then(tmp_path: Path) -> None:
    path = write(tmp_path / "one", suppression(until=NOW), ALICE, BOB)
    assert [one.id for one in opened(path).in_force] == ["0123456789abcdef"]
    ended = opened(path, now=NOW + timedelta(seconds=1))
    assert (ended.in_force, [one.id for one in ended.expired]) == ((), ["0123456789abcdef"])
    assert ended.digest == ""
    assert ended.applied(BYTES, [finding()]) == [finding()]
    with pytest.raises(ListError, match="made in the future"):
        opened(path, now=NOW - timedelta(days=2))


def test_a_folder_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert not opened(folder)
    other = (SuppressedAsset(sha256=OTHER, entries=(entry("e-1"),)),)
    write(folder / "one", suppression(), ALICE, BOB)
    write(folder / "two", suppression(id="f" * 16, assets=other), ALICE, BOB)
    found = opened(folder)
    assert [one.id for one in found.in_force] == ["0123456789abcdef", "f" * 16]
    assert found.knows(OTHER)
    assert found.digest != opened(folder / "one").digest
    write(folder / "three", suppression(), ALICE, BOB)
    with pytest.raises(ListError, match="lies there twice"):
        opened(folder)
    (folder / "three").write_text("{}")
    with pytest.raises(ListError, match="not a DSSE envelope"):
        opened(folder)
    with pytest.raises(UsageError, match="no suppression there"):
        opened(tmp_path / "nowhere")


def test_workers_get_what_the_driver_verified(tmp_path: Path) -> None:
    path = write(tmp_path / "one", suppression(until=NOW), ALICE, BOB)
    source = opened(path).source
    at = datetime.fromisoformat(source.at)
    again = Suppressions.open(source.path, TRUST, now=at, expected_digest=source.digest)
    assert again.digest == source.digest
    write(tmp_path / "one", suppression(reason="another"), ALICE, BOB)
    with pytest.raises(ListError, match="not those the run began with"):
        Suppressions.open(source.path, TRUST, now=at, expected_digest=source.digest)


def test_reports_say_nothing_of_the_asset() -> None:
    said = json.dumps(suppression().described())
    assert BYTES not in said
    assert "e-1" not in said


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decided_by": ("ann", "ann")}, "two people"),
        ({"decided_by": ("ann", "")}, "two people"),
        ({"until": NOW - timedelta(days=1)}, "must end after"),
        ({"assets": ()}, "at least 1 item"),
        ({"id": "x"}, "should match pattern"),
        ({"reason": ""}, "at least 1 character"),
        ({"assets": suppression().assets * 2}, "names an asset twice"),
    ],
)
def test_what_cannot_be_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        suppression(**changes)


def test_the_signed_bytes_are_a_function_of_the_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "one", suppression())
    found = read_suppression(path)
    assert found
    envelope, read = found
    assert read.payload() == envelope.payload == suppression().payload()
    assert read.digest == hashlib.sha256(envelope.payload).hexdigest()
    assert read_suppression(str(tmp_path / "two")) is None
