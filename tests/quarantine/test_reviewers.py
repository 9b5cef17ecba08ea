from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.errors import EvidenceError, GateError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.audit_writing import append_machine, audit_writer
from ingestgate.quarantine.decisions import (
    Decision,
    Decisions,
    State,
    approve_release,
    decide,
    decisions,
    request_release,
    whole_ids,
)
from ingestgate.quarantine.looking import LookedAt, looked_at
from ingestgate.quarantine.reviewers import (
    NEEDED,
    Role,
    act,
    add_reviewer,
    registry,
    remove_reviewer,
)
from tests.quarantine.test_manifest import row, write
from tests.quarantine.vaults import log_manifests

ROLES = {
    "ada": Role.ADMINISTRATOR,
    "ann": Role.APPROVER,
    "rob": Role.REVIEWER,
    "vic": Role.VIEWER,
}
KEYS = {name: Ed25519PrivateKey.generate() for name in [*ROLES, "eve"]}
LINES = {name: public_line(key.public_key()) for name, key in KEYS.items()}
ASSET, ANOTHER = f"{1:032x}", f"{2:032x}"
ROW = row(1).model_dump(mode="json")


@pytest.fixture
def root(tmp_path: Path) -> str:
    for name, role in ROLES.items():
        add_reviewer(str(tmp_path), name, LINES[name], role, KEYS["ada"])
    write(tmp_path, [row(1), row(2)])
    log_manifests(tmp_path)
    return str(tmp_path)


def now(root: str, *assets: str) -> LookedAt:
    return looked_at(root, assets)


def state(root: str, number: int = 1) -> State:
    return decisions(root).state(row(number).model_dump(mode="json"))


def refused(error: type[GateError], match: str) -> pytest.RaisesExc[GateError]:
    return pytest.raises(error, match=match)


def test_people_follow_from_the_log(root: str) -> None:
    assert {p.name: p.role for p in registry(root).people} == ROLES
    remove_reviewer(root, "vic", KEYS["ada"])
    assert set(registry(root).keys()) == {"ada", "ann", "rob"}
    assert set(registry(root).keys(Role.APPROVER)) == {"ada", "ann"}
    add_reviewer(root, "vic", LINES["vic"], Role.REVIEWER, KEYS["ada"])
    assert registry(root).names == [*["ada"] * 4, "", "ada", "ada"]


def test_the_first_adds_themself_as_administrator(tmp_path: Path) -> None:
    for name, role, key in (
        ("rob", Role.REVIEWER, "rob"),
        ("rob", Role.ADMINISTRATOR, "ada"),
    ):
        with refused(UsageError, "the first is an administrator"):
            add_reviewer(str(tmp_path), name, LINES[name], role, KEYS[key])
    assert list(read_log(str(tmp_path))) == []


def test_only_administrators_change_who_is_known(root: str) -> None:
    with refused(UsageError, "ann is approver; this takes the role administrator"):
        add_reviewer(root, "eve", LINES["eve"], Role.VIEWER, KEYS["ann"])
    with refused(UsageError, "nobody of this quarantine has that key"):
        remove_reviewer(root, "ann", KEYS["eve"])
    with refused(UsageError, "already; to give somebody another role, remove them and add"):
        add_reviewer(root, "eve", LINES["rob"], Role.APPROVER, KEYS["ada"])
    with refused(UsageError, "already; to give somebody another role, remove them and add"):
        add_reviewer(root, "rob", LINES["eve"], Role.APPROVER, KEYS["ada"])
    with refused(UsageError, "a name is up to 64"):
        add_reviewer(root, "../eve", LINES["eve"], Role.VIEWER, KEYS["ada"])
    with refused(UsageError, "not a public key"):
        add_reviewer(root, "eve", "eve", Role.VIEWER, KEYS["ada"])
    with refused(UsageError, "the last administrator"):
        remove_reviewer(root, "ada", KEYS["ada"])
    with refused(UsageError, "there is nobody of that name"):
        remove_reviewer(root, "eve", KEYS["ada"])


@pytest.mark.parametrize("signer", ["eve", "rob", None])
def test_a_line_of_somebody_without_the_right_is_found(root: str, signer: str | None) -> None:
    """The chain of it holds; only the registry shows that it should not be there."""
    fields = {"name": "eve", "key": LINES["eve"], "role": "approver"}
    with audit_writer(root) as writer:
        writer.add("reviewer.added", fields, KEYS[signer] if signer else None)
    said = "rob was reviewer" if signer == "rob" else "not signed by anybody who was known then"
    with refused(EvidenceError, f"6: reviewer.added: {said}"):
        registry(root)


@pytest.mark.parametrize(("name", "key"), [("rob", "eve"), ("eve", "rob")])
def test_a_line_that_gives_a_name_or_key_twice_is_found(root: str, name: str, key: str) -> None:
    """Of one key under two names, its holder would be two people."""
    fields = {"name": name, "key": LINES[key], "role": "approver"}
    with audit_writer(root) as writer:
        writer.add("reviewer.added", fields, KEYS["ada"])
    with refused(EvidenceError, "6: reviewer.added: that name or key is somebody's already"):
        registry(root)


def test_a_key_counts_only_as_long_as_its_holder_is_known(root: str) -> None:
    decide(root, now(root, ASSET), Decision.CONFIRMED, "seen", KEYS["rob"])
    remove_reviewer(root, "rob", KEYS["ada"])
    with refused(UsageError, "nobody of this quarantine has that key"):
        decide(root, now(root, ASSET), Decision.ESCALATE, "seen", KEYS["rob"])
    review = decisions(root).review(ROW)
    assert review
    assert review.by == "rob"


@pytest.mark.parametrize("event", sorted(NEEDED))
def test_each_act_takes_its_role(root: str, event: str) -> None:
    for name, role in ROLES.items():
        with audit_writer(root) as writer:
            if role < NEEDED[event]:
                with refused(UsageError, "this takes the role"):
                    act(writer, event, {}, KEYS[name])


def test_decisions_follow_one_another(root: str) -> None:
    assert decisions(root) == Decisions()
    decide(root, now(root, ASSET, ANOTHER), Decision.ESCALATE, "unsure", KEYS["rob"])
    decide(root, now(root, ASSET), Decision.CONFIRMED, " seen ", KEYS["ann"])
    assert [state(root, number) for number in (1, 2, 3)] == ["confirmed", "escalate", "open"]
    review = decisions(root).review(ROW)
    assert review
    assert (review.by, review.reason) == ("ann", "seen")
    with refused(UsageError, "it takes a reason"):
        decide(root, now(root, ASSET), Decision.CONFIRMED, "  ", KEYS["ann"])


def test_a_release_takes_two_people(root: str) -> None:
    with refused(UsageError, "sealed of it now is open; only a false_positive"):
        request_release(root, now(root, ASSET), "a beach", KEYS["rob"])
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
    asked = request_release(root, now(root, ASSET), "a beach", KEYS["ann"]).number
    assert state(root) is State.RELEASE_REQUESTED
    with refused(UsageError, "who asked for it cannot approve it"):
        approve_release(root, asked, KEYS["ann"])
    with refused(UsageError, "rob is reviewer; this takes the role approver"):
        approve_release(root, asked, KEYS["rob"])
    with refused(UsageError, "there is no such request"):
        approve_release(root, asked - 1, KEYS["ada"])
    assert state(root) is State.RELEASE_REQUESTED
    assert approve_release(root, asked, KEYS["ada"]).by == "ann"
    assert state(root) is State.RELEASED
    with refused(UsageError, "approved already"):
        approve_release(root, asked, KEYS["ada"])


def test_another_decision_ends_a_request_and_a_release(root: str) -> None:
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
    asked = request_release(root, now(root, ASSET), "a beach", KEYS["rob"]).number
    decide(root, now(root, ASSET), Decision.CONFIRMED, "no beach", KEYS["ann"])
    with refused(UsageError, "something else was decided since"):
        approve_release(root, asked, KEYS["ann"])
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
    again = request_release(root, now(root, ASSET), "a beach", KEYS["rob"]).number
    approve_release(root, again, KEYS["ann"])
    decide(root, now(root, ASSET), Decision.CONFIRMED, "no beach", KEYS["rob"])
    assert state(root) is State.CONFIRMED


def test_a_request_that_was_taken_back_is_not_revived_by_another(root: str) -> None:
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["rob"])
    asked = request_release(root, now(root, ASSET), "a beach", KEYS["rob"]).number
    decide(root, now(root, ASSET), Decision.CONFIRMED, "I was wrong", KEYS["rob"])
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["ann"])
    own = request_release(root, now(root, ASSET), "a beach", KEYS["ann"]).number
    for number, problem in ((asked, "something else was decided since"), (own, "two people")):
        with refused(UsageError, problem):
            approve_release(root, number, KEYS["ann"])
    with audit_writer(root) as writer:
        act(writer, "release.approved", {"request": asked}, KEYS["ann"])
    with refused(EvidenceError, "release.approved: something else was decided since"):
        decisions(root)


@pytest.mark.parametrize(
    ("event", "fields", "said"),
    [
        ("release.requested", {"assets": [ASSET], "reason": "x"}, "nobody called a false positive"),
        ("release.approved", {"request": 1}, "there is no such request"),
        ("asset.decided", {"assets": [ASSET], "reason": "x", "decision": "?"}, "what it has to"),
        ("asset.decided", {"assets": ASSET, "reason": "x", "decision": "escalate"}, "what it has"),
    ],
    ids=["request", "approval", "decision", "assets"],
)
def test_lines_that_go_round_the_commands_are_found(
    root: str, event: str, fields: dict[str, object], said: str
) -> None:
    with audit_writer(root) as writer:
        act(writer, event, fields, KEYS["ann"])
    with refused(EvidenceError, f"line 6: {event}: .*{said}"):
        decisions(root)


def test_an_approval_of_ones_own_request_is_found(root: str) -> None:
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["ann"])
    asked = request_release(root, now(root, ASSET), "a beach", KEYS["ann"]).number
    with audit_writer(root) as writer:
        act(writer, "release.approved", {"request": asked}, KEYS["ann"])
    with refused(EvidenceError, "takes two people"):
        decisions(root)


def test_who_asked_cannot_approve_under_another_name(root: str) -> None:
    decide(root, now(root, ASSET), Decision.FALSE_POSITIVE, "a beach", KEYS["ann"])
    asked = request_release(root, now(root, ASSET), "a beach", KEYS["ann"]).number
    remove_reviewer(root, "ann", KEYS["ada"])
    add_reviewer(root, "anna", LINES["ann"], Role.APPROVER, KEYS["ada"])
    with refused(UsageError, "takes two people"):
        approve_release(root, asked, KEYS["ann"])
    with audit_writer(root) as writer:
        act(writer, "release.approved", {"request": asked}, KEYS["ann"])
    with refused(EvidenceError, "takes two people"):
        decisions(root)


def test_lines_of_machines_change_nothing(root: str) -> None:
    append_machine(root, "run.started", {"assets": [ASSET], "decision": "false_positive"})
    assert decisions(root) == Decisions()
    assert registry(root).names[-1] == ""


def test_the_start_of_an_id_will_do(tmp_path: Path) -> None:
    write(tmp_path, [row(1), row(2, asset_id="ab" * 16), row(3, asset_id="ac" * 16)])
    log_manifests(tmp_path)
    assert whole_ids(str(tmp_path), ["ab", ASSET]) == sorted(["ab" * 16, ASSET])
    for start, problem in (
        ("c", "no asset of this quarantine starts"),
        ("a", "several assets of this quarantine start"),
    ):
        with refused(UsageError, f"{problem} with"):
            whole_ids(str(tmp_path), [start])
    with refused(UsageError, "no id; name the asset by its id"):
        whole_ids(str(tmp_path), [""])
