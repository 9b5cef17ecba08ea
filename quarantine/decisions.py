"""What people decided about assets, as lines of the audit log, and what follows from them.

A decision is one person's, with a reason; a later one replaces it. A release says that an asset
was no match after all, and takes two people with two keys: one asks, another approves. Both are
states on record: nothing leaves the vault, and no verdict changes.

Each is about what was looked at (`looking`): whatever else is sealed from the same place, or is
held by further entries, is open. Lines of earlier versions name the place alone: they are about
what had been sealed from it before, by their own time and by that of every line after them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine.audit import AuditLine, read_log
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.inventory import the_one
from ingestgate.quarantine.looking import LookedAt, content_of, entries_of
from ingestgate.quarantine.manifest_reading import read_manifest
from ingestgate.quarantine.reviewers import Registry, Role, act

DECIDED: Final = "asset.decided"
REQUESTED: Final = "release.requested"
APPROVED: Final = "release.approved"
#: A machine's: the entries that assets matched were withdrawn. It asks people, and decides nothing.
PUT_UP: Final = "assets.put_up_for_review"
#: In the place of a content: whatever had been sealed until then, by a line that names none.
ANY: Final = ""

#: An asset's id and a content of it.
Case = tuple[str, str]


class Decision(StrEnum):
    """What a person makes of an asset."""

    CONFIRMED = "confirmed"  #: what the list says it is
    FALSE_POSITIVE = "false_positive"  #: something else
    ESCALATE = "escalate"  #: somebody else has to decide


class State(StrEnum):
    """Where the review of an asset stands."""

    OPEN = "open"  #: nobody has decided
    CONFIRMED = "confirmed"
    FALSE_POSITIVE = "false_positive"
    ESCALATE = "escalate"
    RELEASE_REQUESTED = "release_requested"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Review:
    """What was decided about one content of an asset.

    Attributes:
        state: Where it stands.
        by: Who took the last step.
        at: When.
        reason: Why.
        line: Number of the line that says so.
        entries: The entries it was held by when it was looked at.
        by_place: Number of the line that decided about the place alone; else 0.
    """

    state: State
    by: str
    at: str
    reason: str
    line: int
    entries: frozenset[str]
    by_place: int = 0

    def then(self, state: State, by: str, reason: str, line: AuditLine) -> "Review":
        """Returns the review after the next step."""
        return Review(state, by, line.time, reason, line.number, self.entries, self.by_place)


@dataclass(slots=True)
class Request:
    """A request to release assets.

    Attributes:
        number: Its line in the log, by which it is approved.
        cases: What is to be released.
        by, key: Who asked; the key they signed with.
        reason: Why.
        approved: Number of the line by which somebody else approved it, 0 if nobody has.
        approved_by: Who.
    """

    number: int
    cases: tuple[Case, ...]
    by: str
    key: str
    reason: str
    approved: int = 0
    approved_by: str = ""

    @property
    def assets(self) -> list[str]:
        """Whole ids of the assets it is about."""
        return sorted({asset for asset, _ in self.cases})


@dataclass(slots=True)
class Decisions:
    """All that was decided in a quarantine.

    Attributes:
        reviews: What was decided last about each case.
        requests: By number.
        put_up: By id of each asset that was put up for review, the line that did it last.
        written: When each line of the log was written at the latest.
    """

    reviews: dict[Case, Review] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    put_up: dict[str, int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list, compare=False)

    def state(self, row: Mapping[str, Any]) -> State:
        """Returns where the review of a manifest's row stands."""
        review = self.review(row)
        return review.state if review else State.OPEN

    def review(self, row: Mapping[str, Any]) -> Review | None:
        """Returns what was decided last about a manifest's row; None if it is open.

        It is as long as nobody has looked at its very content, held by each of its entries.
        """
        older = self.reviews.get((row["asset_id"], ANY))
        if older and _was_there(row, self.written[older.by_place - 1]):
            return older
        review = self.last((row["asset_id"], content_of(row)))
        return review if review and entries_of(row) <= review.entries else None

    def is_up_for_review(self, row: Mapping[str, Any]) -> bool:
        """Whether a row's asset was put up for review, and nobody has decided about it since."""
        put_up = self.put_up.get(row["asset_id"])
        if put_up is None:
            return False
        review = self.review(row)
        return review is None or review.line < put_up

    def last(self, case: Case) -> Review | None:
        """Returns what was decided last about a case; None if it names the place, not the case."""
        asset, content = case
        if content != ANY and (asset, ANY) in self.reviews:
            return None
        return self.reviews.get(case)

    def stands(self, case: Case, line: int) -> bool:
        """Whether the last that was decided about a case is what some line says."""
        review = self.last(case)
        return review is not None and review.line == line


def _was_there(row: Mapping[str, Any], written: str) -> bool:
    # Not in that very second: a run may have begun in it, after the line.
    return datetime.fromisoformat(row["sealed_at"]) < datetime.fromisoformat(written)


def decisions(root: str) -> Decisions:
    """Returns what was decided in a quarantine.

    Raises:
        EvidenceError: The audit log does not hold, or somebody did what they might not.
        StorageError: It cannot be read.
    """
    return decisions_of(read_log(root))


def decisions_of(lines: Iterable[AuditLine]) -> Decisions:
    """Returns what was decided in some lines of a log, from its first; raises as `decisions`."""
    found, known = Decisions(), Registry()
    times = []
    for line in lines:
        known.apply(line)
        times.append(line.time)
        if line.event in (DECIDED, REQUESTED, APPROVED, PUT_UP):
            try:
                problem = _apply(found, line, known.names[-1])
            except (AttributeError, KeyError, TypeError, ValueError):
                problem = "does not say what it has to"
            if problem:
                raise EvidenceError(f"audit log, line {line.number}: {line.event}: {problem}")
    # Whoever signs a line says its time; the lines after it are others', and were written later.
    found.written = [*accumulate(reversed(times), min)][::-1]
    return found


def _apply(found: Decisions, line: AuditLine, by: str) -> str:
    if line.event == PUT_UP:
        found.put_up.update(dict.fromkeys(_texts(line.fields["assets"]), line.number))
        return ""
    if line.event == APPROVED:
        request = found.requests.get(line.fields["request"])
        problem = _problem_of_approving(found, request, line.key, by)
        if request is None or problem:
            return problem
        request.approved, request.approved_by = line.number, by
        for case in request.cases:
            review = found.reviews[case]
            _put(found, case, review.then(State.RELEASED, by, request.reason, line))
        return ""
    said, reason = _said(line), str(line.fields["reason"])
    if line.event == DECIDED:
        state = State(Decision(line.fields["decision"]))
        for case, entries in said.items():
            by_place = line.number if case[1] == ANY else 0
            review = Review(state, by, line.time, reason, line.number, entries, by_place)
            _put(found, case, review)
        return ""
    if any(_state(found, *each) is not State.FALSE_POSITIVE for each in said.items()):
        return "asks to release what nobody called a false positive"
    found.requests[line.number] = Request(line.number, tuple(said), by, line.key, reason)
    for case, entries in said.items():
        review = found.reviews[case].then(State.RELEASE_REQUESTED, by, reason, line)
        _put(found, case, replace(review, entries=entries))
    return ""


def _said(line: AuditLine) -> dict[Case, frozenset[str]]:
    """Returns the cases that a line names, with the entries of each."""
    assets = _texts(line.fields["assets"])
    if "looked_at" not in line.fields:
        return {(asset, ANY): frozenset() for asset in assets}
    looked: Mapping[str, Mapping[str, Any]] = line.fields["looked_at"]
    if set(looked) != set(assets) or not all(looked.values()):
        raise ValueError("not what the assets are")
    if any(ANY in contents for contents in looked.values()):
        raise ValueError("not a content")
    return {
        (asset, content): frozenset(_texts(entries))
        for asset, contents in looked.items()
        for content, entries in contents.items()
    }


def _state(found: Decisions, case: Case, entries: frozenset[str]) -> State:
    review = found.last(case)
    return review.state if review and entries <= review.entries else State.OPEN


def _put(found: Decisions, case: Case, review: Review) -> None:
    asset, content = case
    if content != ANY:  # who says what they looked at takes the place of who did not
        found.reviews.pop((asset, ANY), None)
    found.reviews[case] = review


def _problem_of_approving(found: Decisions, request: Request | None, key: str, by: str) -> str:
    if request is None:
        return "there is no such request"
    if request.approved:
        return "it is approved already"
    if key == request.key or by == request.by:
        return "a release takes two people: who asked for it cannot approve it"
    # That a release is requested is not enough: it may be another one, of who approves this.
    if any(not found.stands(case, request.number) for case in request.cases):
        return "something else was decided since; ask for it again"
    return ""


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise TypeError("not a list of texts")
    return tuple(values)


def decide(
    root: str, looked: LookedAt, decision: Decision, reason: str, key: Ed25519PrivateKey
) -> AuditLine:
    """Puts a person's decision on record.

    Args:
        root: The quarantine.
        looked: What it is about.
        decision: What they make of it.
        reason: Why.
        key: Their signing key.

    Raises:
        UsageError: No reason, no such person, or their role does not allow it.
        EvidenceError: The audit log does not hold.
        StorageError: It cannot be written; nothing is decided.
    """
    fields = {"decision": decision.value, "reason": _needed(reason), **_named(looked)}
    with audit_writer(root) as writer:
        decisions_of(writer.lines)
        return act(writer, DECIDED, fields, key)


def request_release(root: str, looked: LookedAt, reason: str, key: Ed25519PrivateKey) -> AuditLine:
    """Asks for the release of false positives; raises as `decide` does."""
    with audit_writer(root) as writer:
        found = decisions_of(writer.lines)
        for asset, contents in looked.items():
            for content, entries in contents.items():
                state = _state(found, (asset, content), entries)
                if state is not State.FALSE_POSITIVE:
                    raise UsageError(
                        f"{asset}: what is sealed of it now is {state}; only a false_positive can "
                        "be released"
                    )
        fields = {"reason": _needed(reason), **_named(looked)}
        return act(writer, REQUESTED, fields, key)


def _named(looked: LookedAt) -> dict[str, Any]:
    """Returns the fields of a line that say what it is about."""
    said = {
        asset: {content: sorted(entries) for content, entries in contents.items()}
        for asset, contents in looked.items()
    }
    return {"assets": sorted(looked), "looked_at": said}


def approve_release(root: str, number: int, key: Ed25519PrivateKey) -> Request:
    """Approves what somebody else asked for, who still might; raises as `decide` does."""
    with audit_writer(root) as writer:
        found = decisions_of(writer.lines)
        request = found.requests.get(number)
        known = Registry(writer.lines)
        own = public_line(key.public_key())
        by = next((person.name for person in known.people if person.key == own), "")
        problem = _problem_of_approving(found, request, own, by)
        if request is None or problem:
            raise UsageError(f"request {number}: {problem}")
        # Not in `_apply`: logs of earlier versions hold approvals of such requests.
        if not any(p.key == request.key and p.role >= Role.REVIEWER for p in known.people):
            raise UsageError(
                f"request {number}: {request.by} asked for it, and is no reviewer any more; decide "
                f"{Decision.FALSE_POSITIVE} again, then ask for it again"
            )
        act(writer, APPROVED, {"request": number}, key)
    return request


def _needed(reason: str) -> str:
    if not reason.strip():
        raise UsageError("it takes a reason; it stays on record")
    return reason.strip()


def whole_ids(root: str, starts: Sequence[str]) -> list[str]:
    """Returns the asset ids that some starts of ids are of, in one pass over the manifests.

    Raises:
        UsageError: No asset, or several, start with one.
        VaultError, StorageError: As `read_manifest` does.
    """
    found: dict[str, set[str]] = {start: set() for start in starts}
    for asset in _ids(read_manifest(root)):
        for start, assets in found.items():
            if asset.startswith(start):
                assets.add(asset)
    return sorted({the_one("asset", start, assets) for start, assets in found.items()})


def _ids(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield row["asset_id"]
