"""Suppressions where assets are judged, in rescans of ledgers, and in the gate."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import ledger
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError
from ingestgate.assets.ledger import LedgerRow, PartHeader
from ingestgate.assets.shard import Kind
from ingestgate.assets.signing_keys import public_line
from ingestgate.assets.verdict import Finding, Reason, Tier, Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.suppressions import (
    SUPPRESSION_TYPE,
    SuppressedAsset,
    SuppressedEntry,
    Suppression,
    Suppressions,
)
from ingestgate.transforms.gate import Gate, _JudgeAssets
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.records import Asset, JudgedAsset
from ingestgate.transforms.rescanning import PartResult, RescanLists, rescan_part
from ingestgate.transforms.rescanning.suppressing import RescanSuppressions
from tests.faults.clock import Clock
from tests.pictures import encoded, jpeg, picture
from tests.transforms.conftest import LISTED_EXACT, LISTED_NEAR
from tests.transforms.rescanning.test_parts import make_lists, row
from tests.transforms.test_judging import CLEAN, member, sample

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2)]
NEAR = encoded(picture(LISTED_NEAR), quality=70)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def suppression(digest: str, *entries: tuple[str, str]) -> Suppression:
    named = tuple(SuppressedEntry(list_id=a, entry_id=b) for a, b in entries)
    return Suppression(
        id=digest[:16],
        assets=(SuppressedAsset(sha256=digest, entries=named),),
        decided_by=("rob", "ann"),
        reason="a beach",
        made=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def opened(lists: str) -> ListSet:
    return ListSet.open(lists, now=datetime.now(UTC))


@pytest.fixture(scope="module")
def plain(opened: ListSet) -> Judge:
    return Judge(Policy(), opened)


def entries_of(judge: Judge, content: bytes, **provenance: str) -> set[tuple[str, str]]:
    (row,) = judge.judge("s", sample(member("a.jpg", content), **provenance))
    return {(one.list_id, one.entry_id) for one in row.findings}


def honouring(plain: Judge, *suppressions: Suppression) -> Judge:
    # The conftest's entries have no identifiers but their lines, in version 1.
    versioned = [
        one.model_copy(
            update={
                "assets": tuple(
                    asset.model_copy(
                        update={
                            "entries": tuple(
                                entry.model_copy(update={"list_version": 1})
                                for entry in asset.entries
                            )
                        }
                    )
                    for asset in one.assets
                )
            }
        )
        for one in suppressions
    ]
    return Judge(plain.policy, plain.lists, Suppressions(versioned))


@pytest.mark.parametrize(
    ("content", "provenance"),
    [
        (NEAR, {}),
        (jpeg(LISTED_EXACT), {}),
        (jpeg(CLEAN), {"url": "https://www.listed.example/a"}),
    ],
    ids=["near", "exact", "source"],
)
def test_the_other_checks_decide(plain: Judge, content: bytes, provenance: dict[str, str]) -> None:
    given = sample(member("a.jpg", content), **provenance)
    assert plain.judge("s", given)[0].verdict is Verdict.QUARANTINED
    made = suppression(sha256(content), *entries_of(plain, content, **provenance))
    (row,) = honouring(plain, made).judge("s", given)
    assert (row.verdict, row.reason, row.tier) == (Verdict.ADMITTED, Reason.CLEAN, None)
    assert {one.suppression for one in row.findings} == {made.id}


def test_one_entry_of_two_is_not_enough(plain: Judge) -> None:
    first, *others = sorted(entries_of(plain, NEAR))
    assert others
    (row,) = honouring(plain, suppression(sha256(NEAR), first)).judge(
        "s", sample(member("a.jpg", NEAR))
    )
    assert (row.verdict, row.tier) == (Verdict.QUARANTINED, Tier.NEAR)


def test_what_cannot_be_scanned_is_held(plain: Judge) -> None:
    broken = jpeg(CLEAN)[:-400]
    url = {"url": "https://www.listed.example/a"}
    made = suppression(sha256(broken), *entries_of(plain, broken, **url))
    (row,) = honouring(plain, made).judge("s", sample(member("a.jpg", broken), **url))
    assert (row.verdict, row.reason) == (Verdict.UNSCANNABLE, Reason.TRUNCATED)


def test_of_a_sample_only_the_asset_of_these_bytes_is_excused(plain: Judge) -> None:
    made = suppression(sha256(NEAR), *entries_of(plain, NEAR))
    twin = jpeg(LISTED_NEAR)
    judge = honouring(plain, made)
    with_twin = judge.judge("s", sample(member("0.jpg", NEAR), member("1.jpg", twin, position=1)))
    assert [(one.verdict, one.reason) for one in with_twin] == [
        (Verdict.QUARANTINED, Reason.COMPANION_MATCHED),
        (Verdict.QUARANTINED, Reason.MATCHED),
    ]
    clean = judge.judge("s", sample(member("0.jpg", NEAR), member("1.jpg", jpeg(CLEAN))))
    assert {one.verdict for one in clean} == {Verdict.ADMITTED}
    url = {"url": "https://www.listed.example/a"}
    of_both = suppression(sha256(NEAR), *entries_of(plain, NEAR, **url))
    shared = honouring(plain, of_both).judge(
        "s", sample(member("0.jpg", NEAR), member("1.jpg", jpeg(CLEAN)), **url)
    )
    assert [one.reason for one in shared] == [Reason.COMPANION_MATCHED, Reason.MATCHED]


def test_a_listed_sidecar_and_an_asset_without_bytes_are_not_excused(plain: Judge) -> None:
    entries = entries_of(plain, jpeg(LISTED_EXACT))
    caption = member("a.txt", jpeg(LISTED_EXACT), Kind.SIDECAR, 1)
    judge = honouring(plain, suppression(sha256(jpeg(CLEAN)), *entries))
    (row,) = judge.judge("s", sample(member("a.jpg", jpeg(CLEAN)), caption))
    assert row.verdict is Verdict.QUARANTINED
    reference = member("a", None, Kind.REFERENCE)
    said = {"sha256": sha256(jpeg(CLEAN)), "url": "https://www.listed.example/a"}
    judge = honouring(plain, suppression(sha256(jpeg(CLEAN)), *entries_of(plain, NEAR, **said)))
    assert judge.judge("s", sample(reference, **said))[0].verdict is Verdict.QUARANTINED


VALUE = bytes(range(32))
LISTED_MD5 = "ab" * 16
APART = [bytes([255, 0] * 128)]


def ledger_row(number: int, digest: str, **changes: object) -> LedgerRow:
    made = row(number, APART)
    digests = {"md5": LISTED_MD5, "sha1": "1" * 40, "sha256": digest}
    return replace(made, **{"digests": digests, **changes})  # type: ignore[arg-type]


def rescanned(
    root: Path, rows: list[LedgerRow], *made: Suppression, version: int = 1
) -> PartResult:
    lists = make_lists(root, [VALUE], [LISTED_MD5], version)
    table = ledger.rows_to_table(rows, {"pdq": 32})
    header = PartHeader("s.tar", "i", 0, 1, 0, len(rows), "c", "2026", tallies=ledger.tally(table))
    part = ledger.write_part(str(root / "ledger"), header, table)
    suppressing = RescanSuppressions(Suppressions(made), {"p": version})
    return rescan_part(part, RescanLists(Matcher(lists.lists), Policy(), suppressing=suppressing))


MATCH = Finding("p", 1, "md5-0", "", "md5", "digest", "content", 0, 0, "quarantine")
A, B = "a" * 64, "b" * 64


def test_a_rescan_passes_what_they_let_pass_and_counts_it(tmp_path: Path) -> None:
    made = suppression(A, ("p", "md5-0"))
    held = ledger_row(2, A, verdict=Verdict.UNSCANNABLE, reason=Reason.TRUNCATED)
    sidecar = replace(row(3, APART, sidecar=LISTED_MD5), digests={"sha256": A, "md5": "0" * 32})
    found = rescanned(tmp_path, [ledger_row(0, A), ledger_row(1, B), held, sidecar], made)
    assert sorted(int(hit.asset_id, 16) for hit in found.hits) == [1, 3]
    assert found.suppressed == {made.id: {f"{0:032x}"}}
    other = suppression(A, ("p", "md5-1"))
    assert len(rescanned(tmp_path, [ledger_row(0, A)], other, version=2).hits) == 1


def test_a_rescan_finds_what_judging_anew_would_admit(tmp_path: Path) -> None:
    sealed = {"verdict": Verdict.QUARANTINED, "reason": Reason.MATCHED, "tier": Tier.EXACT}
    another = MATCH._replace(entry_id="md5-1")
    passed = MATCH._replace(suppression="f" * 16)
    companion = {"reason": Reason.COMPANION_MATCHED, "tier": None}
    rows = [
        ledger_row(0, A, findings=(MATCH,), **sealed),
        ledger_row(1, A, findings=(MATCH, another), **sealed),
        ledger_row(2, B, findings=(MATCH,), **sealed),
        ledger_row(3, A, findings=(MATCH._replace(view="sidecar:a"),), **sealed),
        ledger_row(4, A, findings=(passed,), **{**sealed, **companion}),
    ]
    found = rescanned(tmp_path, rows, suppression(A, ("p", "md5-0")))
    assert [int(asset, 16) for asset in found.released] == [0]
    assert not rescanned(tmp_path, rows, version=2).released


def test_a_rescan_finds_what_was_let_pass_by_one_that_is_gone(tmp_path: Path) -> None:
    made = suppression(A, ("p", "md5-0"))
    passed = MATCH._replace(suppression=made.id)
    rows = [ledger_row(0, A, findings=(passed,)), ledger_row(1, B)]
    assert not rescanned(tmp_path, rows, made).unclear
    assert rescanned(tmp_path, rows, version=2).unclear == [f"{0:032x}"]
    other = suppression(A, ("p", "md5-7"))
    assert rescanned(tmp_path, rows, other, version=3).unclear == [f"{0:032x}"]


def test_the_gate_takes_them_until_they_end(
    plain: Judge, lists: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = {str(number): public_line(key.public_key()) for number, key in enumerate(KEYS)}
    policy = Policy.model_validate({"trust": {"suppression_keys": trusted}})
    until = datetime.now(UTC) + timedelta(days=1)
    ending = suppression(sha256(NEAR), *entries_of(plain, NEAR)).model_copy(update={"until": until})
    (made,) = honouring(plain, ending).suppressions.in_force
    envelope = Envelope(SUPPRESSION_TYPE, made.payload()).signed(KEYS[0])
    path = str(tmp_path / "one.json")
    envelope.write(path)
    with pytest.raises(ListError, match="signed by 1 of the 2"):
        Gate(lists, policy, path)
    envelope.signed(KEYS[1]).write(path)
    clock = Clock(monkeypatch.setattr)
    gate = Gate(lists, policy, suppressions=path)
    step = _JudgeAssets(policy, lists, gate._digest, gate._suppressions)
    step.setup()
    said = judged(step)
    assert {name: one.verdict for name, one in said.items()} == {
        "near": "admitted",
        "twin": "quarantined",
    }
    assert {one.suppression for one in said["near"].findings} == {made.id}

    clock.ahead = timedelta(days=2)
    for again in (step, _JudgeAssets(policy, lists, gate._digest, gate._suppressions)):
        again.setup()  # by a worker that starts only now, too
        later = judged(again)["near"]
        assert (later.verdict, {one.suppression for one in later.findings}) == ("quarantined", {""})


def judged(step: _JudgeAssets) -> dict[str, JudgedAsset]:
    """Judges a bundle of two; returns them by their identifiers."""
    from apache_beam.transforms.window import GlobalWindow
    from apache_beam.utils.timestamp import MIN_TIMESTAMP

    step.start_bundle()
    for asset in (Asset("near", NEAR, {}), Asset("twin", jpeg(LISTED_NEAR), {})):
        assert not list(step.process(asset, MIN_TIMESTAMP, GlobalWindow(), None))
    return {out.value.value.asset.asset_id: out.value.value for out in step.finish_bundle()}
