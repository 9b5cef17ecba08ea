"""What people decided about assets, as lines of the audit log, and what follows from them.

A decision is one person's, with a reason; a later one replaces it. A release says that an asset
was no match after all, and takes two people with two keys: one asks, another approves. Both are
states on record: nothing leaves the vault, and no verdict changes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine.audit import AuditLine, read_log
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.inventory import the_one
from ingestgate.quarantine.manifest_reading import read_manifest
from ingestgate.quarantine.reviewers import Registry, act

DECIDED: Final = "asset.decided"
REQUESTED: Final = "release.requested"
APPROVED: Final = "release.approved"
#: A machine's: the entries that assets matched were withdrawn. It asks people, and decides nothing.
PUT_UP: Final = "assets.put_up_for_review"


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


@dataclass(slots=True)
class Review:
    """What was decided about one asset; each of the two, name and time, is of the last step.

    Attributes:
        state: Where it stands.
        by: Who took the last step.
        at: When.
        reason: Why.
        line: Number of the line that says so.
    """

    state: State
    by: str
    at: str
    reason: str
    line: int


@dataclass(slots=True)
class Request:
    """A request to release assets.

    Attributes:
        number: Its line in the log, by which it is approved.
        assets: Whole ids.
        by, key: Who asked; the key they signed with.
        reason: Why.
        decided: By asset, number of the line that called it a false positive.
        approved: Number of the line by which somebody else approved it, 0 if nobody has.
        approved_by: Who.
    """

    number: int
    assets: tuple[str, ...]
    by: str
    key: str
    reason: str
    decided: Mapping[str, int]
    approved: int = 0
    approved_by: str = ""


@dataclass(slots=True)
class Decisions:
    """All that was decided in a quarantine.

    Attributes:
        reviews: By asset id; an asset that is not in it is open.
        requests: By number.
        put_up: Ids of all assets that were ever put up for review.
        up_for_review: Those of them about which nobody has decided since.
    """

    reviews: dict[str, Review] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    put_up: set[str] = field(default_factory=set)
    up_for_review: set[str] = field(default_factory=set)

    def state(self, asset: str) -> State:
        """Returns where the review of an asset stands."""
        review = self.reviews.get(asset)
        return review.state if review else State.OPEN


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
    for line in lines:
        known.apply(line)
        if line.event in (DECIDED, REQUESTED, APPROVED, PUT_UP):
            try:
                problem = _apply(found, line, known.names[-1])
            except (KeyError, TypeError, ValueError):
                problem = "does not say what it has to"
            if problem:
                raise EvidenceError(f"audit log, line {line.number}: {line.event}: {problem}")
    return found


def _apply(found: Decisions, line: AuditLine, by: str) -> str:
    if line.event == PUT_UP:
        found.put_up.update(_texts(line.fields["assets"]))
        found.up_for_review.update(_texts(line.fields["assets"]))
        return ""
    if line.event == APPROVED:
        request = found.requests.get(line.fields["request"])
        problem = _problem_of_approving(found, request, line.key, by)
        if request is None or problem:
            return problem
        request.approved, request.approved_by = line.number, by
        review = Review(State.RELEASED, by, line.time, request.reason, line.number)
        _put(found, request.assets, review)
        return ""
    assets, reason = _texts(line.fields["assets"]), str(line.fields["reason"])
    if line.event == DECIDED:
        state = State(Decision(line.fields["decision"]))
    else:
        if any(found.state(asset) is not State.FALSE_POSITIVE for asset in assets):
            return "asks to release what nobody called a false positive"
        state = State.RELEASE_REQUESTED
        decided = {asset: found.reviews[asset].line for asset in assets}
        request = Request(line.number, assets, by, line.key, reason, decided)
        found.requests[line.number] = request
    _put(found, assets, Review(state, by, line.time, reason, line.number))
    return ""


def _put(found: Decisions, assets: Sequence[str], review: Review) -> None:
    found.reviews.update(dict.fromkeys(assets, review))
    found.up_for_review.difference_update(assets)


def _problem_of_approving(found: Decisions, request: Request | None, key: str, by: str) -> str:
    if request is None:
        return "there is no such request"
    if request.approved:
        return "it is approved already"
    if key == request.key or by == request.by:
        return "a release takes two people: who asked for it cannot approve it"
    if any(found.state(asset) is not State.RELEASE_REQUESTED for asset in request.assets):
        return "something else was decided since; ask for it again"
    return ""


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise TypeError("not a list of texts")
    return tuple(values)


def decide(
    root: str, assets: Sequence[str], decision: Decision, reason: str, key: Ed25519PrivateKey
) -> AuditLine:
    """Puts a person's decision on record.

    Args:
        root: The quarantine.
        assets: Whole asset ids.
        decision: What they make of them.
        reason: Why.
        key: Their signing key.

    Raises:
        UsageError: No reason, no such person, or their role does not allow it.
        EvidenceError: The audit log does not hold.
        StorageError: It cannot be written; nothing is decided.
    """
    fields = {"assets": list(assets), "decision": decision.value, "reason": _needed(reason)}
    with audit_writer(root) as writer:
        decisions_of(writer.lines)
        return act(writer, DECIDED, fields, key)


def request_release(
    root: str, assets: Sequence[str], reason: str, key: Ed25519PrivateKey
) -> AuditLine:
    """Asks for the release of false positives; raises as `decide` does."""
    with audit_writer(root) as writer:
        found = decisions_of(writer.lines)
        for asset in assets:
            if found.state(asset) is not State.FALSE_POSITIVE:
                raise UsageError(
                    f"{asset} is {found.state(asset)}; only a false_positive can be released"
                )
        fields = {"assets": list(assets), "reason": _needed(reason)}
        return act(writer, REQUESTED, fields, key)


def approve_release(root: str, number: int, key: Ed25519PrivateKey) -> Request:
    """Approves what somebody else asked for; raises as `decide` does."""
    with audit_writer(root) as writer:
        found = decisions_of(writer.lines)
        request = found.requests.get(number)
        known = Registry(writer.lines)
        own = public_line(key.public_key())
        by = next((person.name for person in known.people if person.key == own), "")
        problem = _problem_of_approving(found, request, own, by)
        if request is None or problem:
            raise UsageError(f"request {number}: {problem}")
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
