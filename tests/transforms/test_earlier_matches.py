from typing import Any

import pyarrow as pa
import pytest

from ingestgate.transforms.earlier_matches import EarlierMatches

ID, OTHER = "a" * 32, "b" * 32
BYTES, OTHERS = "1" * 64, "2" * 64


def finding(view: str = "content", kind: str = "digest", **more: Any) -> dict[str, Any]:
    made = {"list_id": "p", "list_version": 1, "entry_id": "e", "category": "A1"}
    made |= {"signal_type": "md5", "kind": kind, "view": view, "distance": 0, "threshold": 0}
    return made | {"action": "quarantine", "feedback": "", **more}


def row(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {"asset_id": ID, "member": "3", "reason": "matched", "sha256": BYTES, "provenance": {}}
    return made | {"findings": list(findings), **more}


def test_who_was_quarantined_for_a_match_of_its_own_is_known_by_place_and_bytes() -> None:
    earlier = EarlierMatches([row(finding("url", "source"))])
    (found,) = earlier.findings_of(ID, BYTES, {})
    assert (found.entry_id, found.list_version) == ("e", 1)
    assert earlier.findings_of(ID, OTHERS, {}) == ()
    assert earlier.findings_of(OTHER, BYTES, {}) == (), "its twin has a source of its own"


@pytest.mark.parametrize(
    ("view", "kind", "known"),
    [
        *(("content", "digest", True), ("full/r90", "perceptual", True)),
        *(("declared:md5", "digest", False), ("declared:pdq", "perceptual", False)),
        *(("sidecar:k.txt", "digest", False), ("content", "source", False)),
    ],
)
def test_bytes_that_matched_are_known_wherever_they_lie(view: str, kind: str, known: bool) -> None:
    earlier = EarlierMatches([row(finding(view, kind))])
    assert bool(earlier.findings_of(OTHER, BYTES, {})) == known


def test_companions_and_what_was_only_observed_are_not_kept() -> None:
    rows = [row(reason="companion_matched"), row(finding(action="observe"))]
    assert EarlierMatches(rows).findings_of(ID, BYTES, {}) == ()
    assert EarlierMatches([row(finding())], {"p"}).findings_of(ID, BYTES, {}) == ()
    assert EarlierMatches([row(finding())], {"q"}).findings_of(ID, BYTES, {}) != ()


def test_of_several_manifests_the_newest_version_of_a_match_is_told() -> None:
    older, newer = finding(list_version=1), finding(list_version=2)
    kept = row(older, reason="matched_before")
    for rows in ([row(newer), kept], [kept, row(newer)]):
        found = EarlierMatches(rows).findings_of(ID, BYTES, {})
        assert [one.list_version for one in found] == [2]


def test_the_digest_is_of_what_can_decide_and_was_sealed_by_other_rules() -> None:
    def digest(*rows: dict[str, Any], observing: tuple[str, ...] = ()) -> str:
        return EarlierMatches(rows, observing).digest

    known = digest(row(finding()))
    assert known == digest(row(finding(), sealed_at="later", package_sha256=OTHERS))
    assert digest(row(finding()), row(reason="companion_matched")) == known
    assert digest() == digest(row(finding()), observing=("p",)) == ""
    others = [row(finding(list_version=2)), row(finding(), sha256=OTHERS), row(finding("url"))]
    assert len({known, *map(digest, others), digest(row(finding()), others[0])}) == 5
    made = EarlierMatches()
    made.add([row(finding())], own=True)
    assert made.digest == ""
    assert made.findings_of(ID, BYTES, {}), "what the rules in force sealed stays as well"


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        *(({"url": "a"}, True), ({"url": "b"}, False)),
        ({}, True),  # a policy that records it no more
    ],
)
def test_a_row_without_bytes_is_the_same_while_it_says_the_same(
    now: dict[str, str], kept: bool
) -> None:
    said = {"url": "a", "caption": "x"}
    earlier = EarlierMatches([row(finding("url", "source"), sha256=None, provenance=said)])
    assert bool(earlier.findings_of(ID, None, now)) == kept
    known = pa.array([{}, {"url": "b"}], pa.map_(pa.string(), pa.string()))
    assert earlier.candidates(known, 2) == [1], "by its number"


def test_what_matched_in_the_input_is_known_wherever_it_is_said_again() -> None:
    said = {"urls[1]": "a", "md5": "5", "caption": "x"}
    found = [finding("urls[1]", "source"), finding("declared:md5")]
    earlier = EarlierMatches([row(*found, sha256=None, provenance=said)])
    rows = [{"urls[0]": "a"}, {"url": "a"}, {"md5": "5"}, {"caption": "x"}, {"urls[0]": "b"}]
    assert [bool(earlier.findings_of(OTHER, None, known)) for known in rows] == [
        *(True, False, True, False, False)
    ]
    made = pa.array(rows, pa.map_(pa.string(), pa.string()))
    assert earlier.candidates(made, 100) == [0, 1, 2]
    assert earlier.findings_of(OTHER, BYTES, rows[0]) == (), "then it had no bytes"
    earlier = EarlierMatches([row(*found, provenance=said)])
    assert earlier.findings_of(OTHER, BYTES, rows[0])
    assert earlier.findings_of(OTHER, OTHERS, rows[0]) == (), "another picture"
    assert EarlierMatches().candidates(made, 0) == []
