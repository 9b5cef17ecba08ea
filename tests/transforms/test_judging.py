import hashlib
import sys
from datetime import UTC, datetime
from typing import Any

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from ingestgate.assets.errors import GateError, UsageError
from ingestgate.assets.ledger import LedgerRow, Sidecar
from ingestgate.assets.provenance import SIDECAR_ERROR
from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.assets.verdict import Reason, SignalKind, Tier, Verdict
from ingestgate.blocklists.columns import decode_hex
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.signals import SignalType, signal_types
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.transforms import judging, looking
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Limits, Policy
from ingestgate.transforms.settings import open_judge
from tests.pictures import encoded, jpeg, picture
from tests.transforms.conftest import LISTED_EXACT, LISTED_NEAR, LISTED_OBSERVED

CLEAN = 100
LISTED_MD5 = hashlib.md5(jpeg(LISTED_EXACT), usedforsecurity=False).hexdigest()


def member(
    name: str, content: bytes | None, kind: Kind = Kind.PICTURE, position: int = 0
) -> Member:
    return Member(name, position, content, kind)


def sample(*members: Member, **provenance: str) -> Sample:
    return Sample("key", members, provenance)


@pytest.fixture
def judge(lists: str) -> Judge:
    return open_judge(Policy(), lists)


def outcome(judge: Judge, given: Sample) -> tuple[Verdict, Reason, Tier | None]:
    (row,) = judge.judge("shard", given)
    return row.verdict, row.reason, row.tier


def test_a_clean_asset_is_admitted_with_its_fingerprints_on_record(judge: Judge) -> None:
    (row,) = judge.judge("shard", sample(member("a.jpg", jpeg(CLEAN)), url="https://a.example/x"))
    assert (row.verdict, row.reason, row.findings) == (Verdict.ADMITTED, Reason.CLEAN, ())
    assert set(row.digests) == {"md5", "sha1", "sha256"}
    assert set(row.perceptual) == {"pdq", "phash"}
    assert row.provenance == {"url": "https://a.example/x"}


def test_hashes_that_lists_need_are_taken_though_the_policy_names_none(lists: str) -> None:
    judge = open_judge(Policy(perceptual=()), lists)
    (row,) = judge.judge("shard", sample(member("a.jpg", jpeg(LISTED_NEAR))))
    assert set(row.perceptual) == {"pdq", "phash"}
    assert {finding.signal_type for finding in row.findings} == {"pdq", "phash"}
    more = open_judge(Policy(perceptual=("dhash",)), lists)
    assert set(more.hash_bytes) == {"dhash", "pdq", "phash"}


def test_listed_bytes_are_exact_evidence(judge: Judge) -> None:
    found = outcome(judge, sample(member("a.jpg", jpeg(LISTED_EXACT))))
    assert found == (Verdict.QUARANTINED, Reason.MATCHED, Tier.EXACT)


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_listed_picture_is_caught_in_every_orientation(
    judge: Judge, turn: Image.Transpose
) -> None:
    content = encoded(picture(LISTED_NEAR).transpose(turn), quality=70)
    (row,) = judge.judge("shard", sample(member("a.jpg", content)))
    assert (row.verdict, row.tier) == (Verdict.QUARANTINED, Tier.NEAR)
    assert {finding.signal_type for finding in row.findings} == {"pdq", "phash"}
    assert all(0 <= f.distance <= f.threshold for f in row.findings)


def test_a_list_that_only_observes_is_recorded_and_does_not_decide(judge: Judge) -> None:
    (row,) = judge.judge("shard", sample(member("a.jpg", jpeg(LISTED_OBSERVED))))
    assert (row.verdict, row.reason, row.tier) == (Verdict.ADMITTED, Reason.CLEAN, None)
    assert [(f.list_id, f.action) for f in row.findings] == [("watch", "observe")]


def test_the_policy_can_make_an_observing_list_quarantine(lists: str) -> None:
    policy = Policy(lists={"watch": {"action": "quarantine"}})
    given = sample(member("a.jpg", jpeg(LISTED_OBSERVED)))
    assert outcome(open_judge(policy, lists), given)[0] is Verdict.QUARANTINED


@pytest.mark.parametrize("column", ["url", "page_url", "source_url", "meta.image_url", "urls[3]"])
def test_every_url_column_is_checked(judge: Judge, column: str) -> None:
    given = Sample("k", (member("a.jpg", jpeg(CLEAN)),), {column: "https://x.LISTED.example/a"})
    (row,) = judge.judge("shard", given)
    assert (row.verdict, row.tier) == (Verdict.QUARANTINED, Tier.SOURCE)
    assert row.findings[0].view == column


@pytest.mark.parametrize("text", ["https://listed.example/a {}", "{} https://listed.example/a"])
def test_a_listed_source_counts_beside_one_that_cannot_be_read(judge: Judge, text: str) -> None:
    given = sample(member("a.jpg", jpeg(CLEAN)), url=text.format("http://[::bad"))
    assert outcome(judge, given) == (Verdict.QUARANTINED, Reason.MATCHED, Tier.SOURCE)


@pytest.mark.parametrize(
    "column",
    [
        *("url_o", "url_1", "url.1", "imageurl", "imgurl", "Thumbnail300KURL", "og:image:url"),
        *("media_url_https", "imageURLHighRes", "link_2", "urls.full", "permalink", "meta.uri1[2]"),
    ],
)
def test_columns_that_may_hold_a_source_are_checked(judge: Judge, column: str) -> None:
    said = {"url": "https://fine.example/a", column: "https://x.LISTED.example/a"}
    (row,) = judge.judge("shard", Sample("k", (member("a.jpg", jpeg(CLEAN)),), said))
    assert (row.verdict, row.tier) == (Verdict.QUARANTINED, Tier.SOURCE)
    assert [found.view for found in row.findings] == [column]
    assert row.provenance[column] == said[column]


@pytest.mark.parametrize(
    ("text", "reason", "is_source"),
    [
        ("true", Reason.CLEAN, False),
        ("0", Reason.CLEAN, False),
        ("not available", Reason.CLEAN, False),
        ("4096-byte [page] | x", Reason.CLEAN, False),
        ("https://fine.example/", Reason.CLEAN, True),
        ("http://[::bad", Reason.BAD_SOURCE, True),
        ("//[::bad", Reason.BAD_SOURCE, True),
    ],
)
def test_what_says_no_source_holds_nothing_where_there_may_be_one(
    lists: str, text: str, reason: Reason, is_source: bool
) -> None:
    given = Sample("k", (member("a.jpg", jpeg(CLEAN)),), {"url_hash": text})
    assert outcome(open_judge(Policy(), lists), given)[1] is reason
    if not is_source:
        needing = open_judge(Policy(require_source=True), lists)
        assert outcome(needing, given)[1] is Reason.NO_SOURCE


def test_without_url_columns_nothing_is_taken_for_a_source(lists: str) -> None:
    given = Sample("k", (member("a.jpg", jpeg(CLEAN)),), {"url_o": "https://listed.example/"})
    assert outcome(open_judge(Policy(url_columns=()), lists), given)[1] is Reason.CLEAN
    assert outcome(open_judge(Policy(likely_url_columns=()), lists), given)[1] is Reason.CLEAN


def test_a_declared_digest_is_a_further_candidate(judge: Judge) -> None:
    import hashlib

    declared = hashlib.md5(jpeg(LISTED_EXACT), usedforsecurity=False).hexdigest().upper()
    (row,) = judge.judge("shard", sample(member("a.jpg", jpeg(CLEAN)), md5=declared))
    assert (row.verdict, row.tier) == (Verdict.QUARANTINED, Tier.EXACT)
    assert row.findings[0].view == "declared:md5"


def test_one_match_takes_the_whole_sample(judge: Judge) -> None:
    rows = judge.judge(
        "shard",
        sample(
            member("k.0.jpg", jpeg(CLEAN), position=0),
            member("k.1.jpg", jpeg(LISTED_NEAR), position=1),
            member("k.2.jpg", b"", position=2),
            member("k.txt", b"a caption", Kind.SIDECAR, position=3),
        ),
    )
    assert [row.verdict for row in rows] == [Verdict.QUARANTINED] * 3
    assert [row.reason for row in rows] == [
        Reason.COMPANION_MATCHED,
        Reason.MATCHED,
        Reason.COMPANION_MATCHED,
    ]
    assert [s.member for s in rows[0].sidecars] == ["k.txt"]


def test_one_unscannable_asset_holds_the_whole_sample(judge: Judge) -> None:
    rows = judge.judge(
        "shard", sample(member("k.0.jpg", jpeg(CLEAN)), member("k.1.jpg", b"", position=1))
    )
    assert [row.reason for row in rows] == [Reason.COMPANION_UNSCANNABLE, Reason.EMPTY]


def test_a_listed_digest_of_a_sidecar_counts(judge: Judge) -> None:
    given = sample(
        member("k.jpg", jpeg(CLEAN)), member("k.txt", jpeg(LISTED_EXACT), Kind.SIDECAR, 1)
    )
    (row,) = judge.judge("shard", given)
    assert row.verdict is Verdict.QUARANTINED
    assert row.findings[0].view == "sidecar:k.txt"


FLAT = encoded(Image.fromarray(np.full((64, 64), 128, np.uint8)), "PNG")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (sample(member("a.jpg", b"")), Reason.EMPTY),
        (sample(member("a.jpg", jpeg(CLEAN)[:-400])), Reason.TRUNCATED),
        (sample(member("a.png", FLAT)), Reason.LOW_QUALITY),
        (sample(member("a.jpg", b"<html>")), Reason.UNSUPPORTED_MEDIA),
        (
            sample(member("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")),
            Reason.UNSUPPORTED_FORMAT,
        ),
        (sample(member("a.mp4", b"video", Kind.OTHER)), Reason.UNSUPPORTED_MEDIA),
        (sample(member("readme", b"text", Kind.SKIPPED)), Reason.SKIPPED_BY_READERS),
        (sample(member("link", None, Kind.SKIPPED)), Reason.SKIPPED_BY_READERS),
        (sample(member("a.jpg", jpeg(CLEAN), Kind.DUPLICATE)), Reason.DUPLICATE_MEMBER),
        (sample(member("a.txt", b"caption", Kind.SIDECAR)), Reason.NO_PICTURE),
        (sample(member("a", None, Kind.REFERENCE)), Reason.NOTHING_TO_CHECK),
        (sample(member("a.jpg", jpeg(CLEAN)), url="http://[::bad"), Reason.BAD_SOURCE),
        (sample(member("a.jpg", jpeg(CLEAN)), md5="beef"), Reason.BAD_DECLARED_HASH),
        (
            Sample("key", (member("a.jpg", jpeg(CLEAN)),), {SIDECAR_ERROR: "x"}),
            Reason.BAD_SIDECAR,
        ),
    ],
)
def test_what_cannot_be_checked_is_not_admitted(
    judge: Judge, given: Sample, reason: Reason
) -> None:
    verdict, why, _ = outcome(judge, given)
    assert (verdict, why) == (Verdict.UNSCANNABLE, reason)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@hypothesis.given(
    text=st.text("09afAF:\0 \t\x1c\u3000", max_size=9)
    | st.tuples(
        st.sampled_from(["ab" * 16, LISTED_MD5, LISTED_MD5.upper()]),
        st.integers(0, 32),
        st.sampled_from(["", " ", "\n", "\x1c", "\u2003", "\0", ":", "0"]),
    ).map(lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :])
)
def test_declared_digests_are_read_as_whole_columns_of_them_are(judge: Judge, text: str) -> None:
    decoded = decode_hex(pa.array([text]), 16)
    expected = Verdict.ADMITTED, Reason.CLEAN
    if len(decoded.bad):
        expected = Verdict.UNSCANNABLE, Reason.BAD_DECLARED_HASH
    elif not len(decoded.rows):
        expected = Verdict.UNSCANNABLE, Reason.NOTHING_TO_CHECK
    elif decoded.values.tobytes().hex() == LISTED_MD5:
        expected = Verdict.QUARANTINED, Reason.MATCHED
    row = sample(member("a", None, Kind.REFERENCE), md5=text)
    assert outcome(judge, row)[:2] == expected


def test_a_check_that_raises_holds_its_asset(
    lists: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge = open_judge(Policy(decoder="in_process"), lists)

    def broken(self: Fingerprinter, content: bytes, *, colour: bool) -> None:
        raise RuntimeError("secret content")

    monkeypatch.setattr(Fingerprinter, "_fingerprint", broken)
    found = outcome(judge, sample(member("a.jpg", jpeg(CLEAN))))
    assert found[:2] == (Verdict.UNSCANNABLE, Reason.INTERNAL_ERROR)
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_listed_asset_is_caught_though_it_cannot_be_decoded(judge: Judge) -> None:
    given = sample(member("a.jpg", b"broken"), url="https://listed.example/")
    assert outcome(judge, given)[:2] == (Verdict.QUARANTINED, Reason.MATCHED)


FAINT = encoded(picture(CLEAN).convert("L").point(lambda level: 100 + level * 40 // 255), "PNG")


@pytest.mark.parametrize(
    ("said", "faint", "flat"),
    [
        ("hold", Reason.LOW_QUALITY, Reason.LOW_QUALITY),
        ({"pdq": "exact_checks_suffice"}, Reason.CLEAN, Reason.LOW_QUALITY),
        ({"phash": "exact_checks_suffice"}, Reason.LOW_QUALITY, Reason.LOW_QUALITY),
        ({"pdq": "exact_checks_suffice", "phash": "exact_checks_suffice"}, *(Reason.CLEAN,) * 2),
    ],
)
def test_low_quality_is_decided_for_each_hash(
    lists: str, said: Any, faint: Reason, flat: Reason
) -> None:
    judge = open_judge(Policy(low_quality=said), lists)
    assert outcome(judge, sample(member("a.png", FAINT)))[1] is faint
    assert outcome(judge, sample(member("a.png", FLAT)))[1] is flat


def test_the_policy_may_let_exact_checks_suffice(lists: str) -> None:
    policy = Policy(
        low_quality="exact_checks_suffice",
        other_members="exact_checks_suffice",
        samples_without_picture="exact_checks_suffice",
        skipped_members="screen",
    )
    judge = open_judge(policy, lists)
    for given in (
        sample(member("a.png", FLAT)),
        sample(member("a.mp4", b"video", Kind.OTHER)),
        sample(member("a.txt", b"caption", Kind.SIDECAR)),
        sample(member("noext", jpeg(CLEAN), Kind.SKIPPED)),
    ):
        assert outcome(judge, given)[:2] == (Verdict.ADMITTED, Reason.CLEAN)
    unread = sample(member("sparse.npy", None, Kind.OTHER), url="https://fine.example/")
    assert outcome(judge, unread)[:2] == (Verdict.UNSCANNABLE, Reason.UNSUPPORTED_MEDIA)
    caught = outcome(judge, sample(member("noext", jpeg(LISTED_NEAR), Kind.SKIPPED)))
    assert caught[0] is Verdict.QUARANTINED


def test_a_policy_can_require_a_source(lists: str) -> None:
    judge = open_judge(Policy(require_source=True), lists)
    given = sample(member("a.jpg", jpeg(CLEAN)), url="  ")
    assert outcome(judge, given)[:2] == (Verdict.UNSCANNABLE, Reason.NO_SOURCE)


def test_a_decoder_that_cannot_be_started_ends_the_run(
    lists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    policy = Policy(limits=Limits(max_seconds=59))
    with pytest.raises(GateError, match="cannot be started"):
        open_judge(policy, lists)
    judge = Judge(policy, ListSet.open(lists, now=datetime.now(UTC)))
    with pytest.raises(GateError, match="cannot be started"):
        judge.judge("shard", sample(member("a.jpg", jpeg(CLEAN))))
    with pytest.raises(GateError, match="cannot be started"):
        judge.isolation  # noqa: B018


def test_what_isolates_the_decoder_is_said(lists: str, judge: Judge) -> None:
    assert judge.isolation["decoder"] == "in a process of its own"
    in_process = open_judge(Policy(decoder="in_process"), lists)
    assert in_process.isolation == {"decoder": "in the worker process"}


def test_many_samples_are_judged_as_each_by_itself(lists: str, judge: Judge) -> None:
    given = [
        sample(member("a.jpg", jpeg(seed)), member("b.txt", b"caption", Kind.SIDECAR))
        for seed in (LISTED_NEAR, CLEAN)
    ]
    given.insert(1, sample(member("a.jpg", b""), member("b.jpg", jpeg(CLEAN))))
    given.insert(1, sample(member("a.jpg", None, Kind.REFERENCE), url="https://a.example/"))
    given *= 10
    together = list(judge.judge_all("shard", given))
    assert together == [row for each in given for row in judge.judge("shard", each)]
    in_process = open_judge(Policy(decoder="in_process"), lists)
    assert together == list(in_process.judge_all("shard", given))


def test_digests_are_of_the_bytes_that_they_stand_beside(judge: Judge) -> None:
    content = {
        "caption.txt": b"caption",
        "a.jpg": jpeg(CLEAN),
        "gone.jpg": None,
        "b.jpg": jpeg(CLEAN + 1),
        "b.json": b"{}",
    }
    kinds = {".jpg": Kind.PICTURE, ".txt": Kind.SIDECAR, ".json": Kind.SIDECAR}
    members = [member(name, had, kinds[name[name.index(".") :]]) for name, had in content.items()]
    other = sample(member("c.txt", b"alone", Kind.SIDECAR))
    rows = list(judge.judge_all("shard", [sample(*members), other, sample(*reversed(members))]))
    files: list[LedgerRow | Sidecar] = []
    for row in rows:
        files += (row, *row.sidecars)
    found = [(each.member, each.digests.get("sha256")) for each in files]
    one = ["a.jpg", "caption.txt", "b.json", "gone.jpg", "b.jpg"]
    another = ["b.jpg", "b.json", "caption.txt", "gone.jpg", "a.jpg"]
    digest = {
        name: None if had is None else hashlib.sha256(had).hexdigest()
        for name, had in {**content, "c.txt": b"alone"}.items()
    }
    assert found == [(name, digest[name]) for name in (*one, "c.txt", *another)]


@pytest.mark.parametrize(
    "signal",
    [
        SignalType("pdq", SignalKind.PERCEPTUAL, 16),
        SignalType("pdq", SignalKind.DIGEST, 32),
    ],
)
def test_a_signal_type_that_is_not_what_its_hash_is_refused(
    lists: str, monkeypatch: pytest.MonkeyPatch, signal: SignalType
) -> None:
    opened = ListSet.open(lists, now=datetime.now(UTC))
    signals = {**signal_types(), "pdq": signal}
    monkeypatch.setattr(looking, "signal_types", lambda: signals)
    with pytest.raises(UsageError, match=rf"'pdq' has 256 bits, and the {signal.kind} signal"):
        Judge(Policy(), opened)


def test_names_that_are_long_are_not_remembered() -> None:
    """A record may have any name, and each would be kept by every worker."""
    before = judging._remembered_match.cache_info().currsize
    patterns = ("source_url",)
    assert judging._matches_column("x" * 1000 + ".source_url", patterns)
    assert judging._remembered_match.cache_info().currsize == before
    assert judging._matches_column("a.source_url", patterns)
