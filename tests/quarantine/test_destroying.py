import base64
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine import destroying
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.checking import check_vault
from ingestgate.quarantine.destroying import Note, Person, affected, approve, request
from ingestgate.quarantine.destruction_receipts import (
    RECEIPT_TYPE,
    DestroyedCopy,
    DestructionOrder,
    DestructionReceipt,
    order_path,
    read_order,
    receipt_path,
    verify_receipt,
)
from ingestgate.quarantine.faults import Problem
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import copies, named_objects
from ingestgate.quarantine.layout import id_of, key_path
from ingestgate.quarantine.reviewers import Role, act, add_reviewer, registry, remove_reviewer
from ingestgate.quarantine.vault import Vault
from tests.quarantine.vaults import Sample, asset, files, fill, log_manifests, reader, seal

NAMES = ("ada", "alice", "bob", "eve")
ADA, ALICE, BOB, EVE = (Person(name, Ed25519PrivateKey.generate()) for name in NAMES)
TRUSTED: Mapping[str, Ed25519PublicKey] = {
    person.name: person.key.public_key() for person in (ALICE, BOB)
}
READER = reader()
PAIR = Sample("pair", (b"left", b"right"))
SAMPLES = (Sample("one", (b"1",)), PAIR, Sample("three", (b"3",)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "vault", [READER.recipient], *SAMPLES)
    introduce(tmp_path / "vault")
    return tmp_path / "vault"


def introduce(root: Path) -> None:
    """Ada administers, Alice may ask, Bob may approve."""
    for person, role in ((ADA, Role.ADMINISTRATOR), (ALICE, Role.REVIEWER), (BOB, Role.APPROVER)):
        add(root, person, role)


def add(root: Path, person: Person, role: Role) -> None:
    add_reviewer(str(root), person.name, public_line(person.key.public_key()), role, ADA.key)


def logged(root: Path, person: Person = BOB) -> Note:
    """Puts what somebody does on record, as the command does."""

    def note(event: str, fields: Mapping[str, Any]) -> None:
        with audit_writer(str(root)) as writer:
            act(writer, event, fields, person.key)

    return note


def silent(event: str, fields: Mapping[str, Any]) -> None:
    """Logs nothing."""


def destroy(
    root: Path,
    *assets: str,
    reason: str = "requested by police",
    others_too: bool = False,
    note: Note | None = None,
) -> str:
    """Asks, approves, and returns the order's id."""
    asked = logged(root, ALICE)
    order = request(str(root), assets, reason, ALICE, asked, others_too=others_too)
    approve(str(root), order.id, BOB, TRUSTED, note or logged(root))
    return order.id


def test_two_people_destroy_every_copy(root: Path) -> None:
    again = fill(root, [READER.recipient], SAMPLES[0], context="c1")["one"]  # another judging's
    unnamed = seal(Vault(str(root), [READER.recipient]), SAMPLES[0])  # a killed run's
    half = root / Path(again.key_path).parent / ".x.age.0123456789ab.partial"
    half.write_bytes(b"half")
    handle = half.open("rb")
    noted: list[tuple[str, Mapping[str, Any]]] = []
    order = request(str(root), [asset("one")], "requested by police", ALICE, logged(root, ALICE))
    assert len(files(root)) == 11, "asking destroys nothing"

    def note(event: str, fields: Mapping[str, Any]) -> None:
        noted.append((event, fields))
        logged(root)(event, fields)

    (receipt,) = approve(str(root), order.id, BOB, TRUSTED, note)
    left = files(root)
    assert len(left) == 4
    assert handle.read() == bytes(4), "a key that was half written is overwritten, too"
    handle.close()
    assert not any(id_of(again.path) in path for path in left)
    assert [event for event, _ in noted] == ["destroy.begun", "destroy.done"]
    assert noted[0][1]["assets"] == [asset("one")]
    assert {(copy.object, copy.named) for copy in receipt.copies} >= {
        (again.path, True),
        (unnamed.path, False),
    }
    assert len(receipt.copies) == 3
    found = check_vault(str(root))
    assert (found.faults, found.destroyed, found.sound) == ([], 2, 2)


def test_what_concerns_the_whole_order_is_not_done_anew_for_each_sample(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = [asset("one"), asset("pair"), asset("pair", 1), asset("three")]
    order = request(str(root), assets, "requested by police", ALICE, logged(root, ALICE))
    encoded: list[DestructionOrder] = []
    split: list[str] = []
    encode = DestructionOrder.encoded

    def counted(order: DestructionOrder) -> bytes:
        encoded.append(order)
        return encode(order)

    def counted_id(path: str) -> str:
        split.append(path)
        return id_of(path)

    monkeypatch.setattr(DestructionOrder, "encoded", counted)
    monkeypatch.setattr(destroying, "id_of", counted_id)
    assert len(approve(str(root), order.id, BOB, TRUSTED, logged(root))) == len(SAMPLES)
    assert len(encoded) == 1, "its digest is taken once"
    assert len(split) == 2 * len(SAMPLES), "objects are told apart for all samples at once"
    encoded.clear()
    assert len(approve(str(root), order.id, BOB, TRUSTED, logged(root))) == len(SAMPLES)
    assert len(encoded) == 1, "also where samples were destroyed before"


def test_the_receipt_is_signed_and_says_nothing_of_the_content(root: Path) -> None:
    order = destroy(root, asset("one"))
    (path,) = root.glob("destroyed/*.dsse.json")
    sample = path.name.removesuffix(".dsse.json")
    receipt = verify_receipt(str(root), sample, TRUSTED)
    assert receipt is not None
    assert (receipt.requested_by, receipt.approved_by) == ("alice", "bob")
    assert receipt.reason == "requested by police"
    assert receipt.order_sha256.startswith(order)
    said = base64.b64decode(json.loads(path.read_text())["payload"]).decode()
    for name in ("one.0.jpg", "a.tar", "example.org"):
        assert name not in said


def test_keys_are_overwritten_and_go_before_any_object(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    real = os.unlink

    def unlink(path: Any, *arguments: Any, **more: Any) -> None:
        if str(path).endswith(".age"):
            gone.append(Path(path).relative_to(root).parts[0])
            if "/keys/" in str(path):
                assert set(Path(path).read_bytes()) == {0}
        real(path, *arguments, **more)

    monkeypatch.setattr(os, "unlink", unlink)
    destroy(root, asset("one"), asset("three"))
    assert gone == ["keys", "objects"] * 2


def test_what_falls_with_it_has_to_be_confirmed(root: Path) -> None:
    first, second = asset("pair"), asset("pair", 1)
    assert affected(str(root), [first]).others == (second,)
    with pytest.raises(UsageError, match=f"1 other asset .* {second[:12]}; .* --others-too"):
        request(str(root), [first], "reason", ALICE, logged(root, ALICE))
    assert not (root / "destroyed").exists()
    destroy(root, first, others_too=True)
    assert check_vault(str(root)).destroyed == 1
    assert affected(str(root), [first, second]).others == ()


def test_it_takes_two_people_and_known_keys(root: Path) -> None:
    before = files(root)
    order = request(str(root), [asset("one")], "reason", ALICE, logged(root, ALICE))
    twice = Person("carol", ALICE.key)
    with_carol = {**TRUSTED, "carol": ALICE.key.public_key()}
    for person, trusted, problem in (
        (ALICE, TRUSTED, "takes two people"),
        (twice, with_carol, "takes two people"),
        (EVE, TRUSTED, "not the key known"),
        (Person("bob", EVE.key), TRUSTED, "not the key known"),
    ):
        with pytest.raises(UsageError, match=problem):
            approve(str(root), order.id, person, trusted, silent)
    strangers = request(str(root), [asset("one")], "reason", Person("alice", EVE.key), silent)
    with pytest.raises(EvidenceError, match="not signed by the one it names"):
        approve(str(root), strangers.id, BOB, TRUSTED, silent)
    with pytest.raises(UsageError, match="no order"):
        approve(str(root), "0" * 16, BOB, TRUSTED, silent)
    assert files(root) == before


def test_an_order_of_somebody_removed_since_has_to_be_asked_for_again(root: Path) -> None:
    before = files(root)
    order = request(str(root), [asset("one")], "reason", ALICE, logged(root, ALICE))
    remove_reviewer(str(root), "alice", ADA.key)
    known = registry(str(root)).keys(Role.REVIEWER)
    with pytest.raises(EvidenceError, match="a reviewer here now; ask for it again"):
        approve(str(root), order.id, BOB, known, logged(root))
    assert files(root) == before


def test_no_reason_no_asset(root: Path) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        request(str(root), [asset("one")], " ", ALICE, logged(root, ALICE))
    with pytest.raises(UsageError, match="no asset"):
        request(str(root), [asset("none")], "reason", ALICE, logged(root, ALICE))


def test_an_altered_order_is_refused(root: Path) -> None:
    order = request(str(root), [asset("one")], "reason", ALICE, logged(root, ALICE))
    path = Path(order_path(str(root), order.id))
    fields = json.loads(path.read_text())
    payload = base64.b64decode(fields["payload"]).replace(b'"reason"', b'"because"', 2)
    path.write_text(json.dumps(fields | {"payload": base64.b64encode(payload).decode()}))
    with pytest.raises(EvidenceError, match=r"not what it should be|another order"):
        approve(str(root), order.id, BOB, TRUSTED, silent)


def test_an_order_that_says_less_than_falls_is_refused(root: Path) -> None:
    order = request(str(root), [asset("one")], "reason", ALICE, logged(root, ALICE))
    (manifest,) = (root / "manifest").glob("*.jsonl")
    lines = manifest.read_text().split("\n")
    more = lines[0].replace(asset("one"), "e" * 32)
    manifest.write_text("\n".join([more, *lines]))
    with pytest.raises(EvidenceError, match="is not what was sealed"):
        approve(str(root), order.id, BOB, TRUSTED, silent)
    log_manifests(root)
    with pytest.raises(EvidenceError, match="hold other assets by now"):
        approve(str(root), order.id, BOB, TRUSTED, silent)


def test_what_cannot_be_logged_is_not_done(root: Path) -> None:
    before = files(root)

    def refuse(event: str, fields: Mapping[str, Any]) -> None:
        raise EvidenceError("the log cannot be written")

    with pytest.raises(EvidenceError, match="log cannot be written"):
        destroy(root, asset("one"), note=refuse)
    assert files(root) == before


def test_approving_again_changes_nothing(root: Path) -> None:
    order = destroy(root, asset("one"))
    (path,) = root.glob("destroyed/*.dsse.json")
    before = path.read_bytes()
    noted: list[str] = []
    approve(str(root), order, BOB, TRUSTED, lambda event, _: noted.append(event))
    assert (path.read_bytes(), noted) == (before, [])


class Killed(BaseException):
    """What ends a process."""


@pytest.mark.parametrize(
    ("module", "name"),
    [(storage, "erase"), (storage, "delete"), (storage, "write_bytes")],
    ids=["erase", "delete", "write"],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_approving_again_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, after: bool
) -> None:
    real: Callable[..., Any] = getattr(module, name)
    point = 0
    while True:
        root = tmp_path / f"vault-{point}"
        sealed = fill(root, [READER.recipient], *SAMPLES)
        introduce(root)
        unnamed = seal(Vault(str(root), [READER.recipient]), PAIR)
        half = root / Path(unnamed.key_path).parent / ".x.age.0123456789ab.partial"
        half.write_bytes(b"half")
        order = request(
            str(root), [asset("pair")], "reason", ALICE, logged(root, ALICE), others_too=True
        )
        calls = 0

        def step(*arguments: Any, _point: int = point, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls - 1 == _point and not after:
                raise Killed
            done = real(*arguments, **more)
            if calls - 1 == _point:
                raise Killed
            return done

        with monkeypatch.context() as patch:
            patch.setattr(module, name, step)
            try:
                approve(str(root), order.id, BOB, TRUSTED, logged(root))
                break
            except Killed:
                pass
        (receipt,) = approve(str(root), order.id, BOB, TRUSTED, logged(root))
        assert not half.exists()
        assert {copy.object for copy in receipt.copies} == {sealed["pair"].path, unnamed.path}
        assert not list(root.glob("destroyed/*.begun.json"))
        found = check_vault(str(root))
        assert (found.faults, found.destroyed, found.sound) == ([], 1, 2)
        point += 1
    assert point > 1


def problems(root: Path) -> list[Problem]:
    return [fault.problem for fault in check_vault(str(root)).faults]


def forged(
    root: Path,
    by: Person,
    approved: Person,
    note: Note = silent,
    *,
    asked: Note = silent,
    of: str = "one",
) -> None:
    """Deletes a sample, and leaves papers of its destruction that do not hold.

    Args:
        root: The quarantine.
        by, approved: Who the papers say asked, and approved.
        note: Logs that it was begun and done.
        asked: Logs that somebody asked for it.
        of: The sample that the order names.
    """
    order = request(str(root), [asset(of)], "reason", by, asked)
    (ordered,) = affected(str(root), [asset("one")]).samples
    found = read_order(str(root), order.id)
    assert found is not None
    found[1].signed(approved.key).write(order_path(str(root), order.id))
    paths = list(copies(str(root), ordered.sample))
    receipt = DestructionReceipt(
        sample=ordered.sample,
        assets=ordered.assets,
        copies=tuple(DestroyedCopy(object=path, named=True) for path in paths),
        reason="reason",
        requested_by=by.name,
        approved_by=approved.name,
        order_sha256=order.sha256,
        destroyed_at=order.requested_at,
        software="0",
    )
    envelope = Envelope(RECEIPT_TYPE, receipt.encoded()).signed(approved.key)
    envelope.write(receipt_path(str(root), ordered.sample))
    for path in paths:
        (root / path).unlink()
        (root / key_path(path)).unlink()
    said = {"sample": ordered.sample, "order": order.id}
    for event in ("destroy.begun", "destroy.done"):
        note(event, {**said, "requested_by": by.name, "approved_by": approved.name})


def test_a_receipt_that_nobody_logged_counts_for_nothing(root: Path) -> None:
    forged(root, ALICE, BOB)
    found = check_vault(str(root))
    assert [fault.problem for fault in found.faults] == [Problem.RECEIPT, Problem.MISSING]
    assert "the audit log does not say that it was destroyed so" in found.faults[0].detail


@pytest.mark.parametrize("by", [ALICE, EVE], ids=["alice", "eve"])
def test_nor_does_one_of_what_nobody_asked_for_on_record(root: Path, by: Person) -> None:
    """An approver alone logs that it was done; of an order that has no line of who asked."""
    add(root, EVE, Role.VIEWER)
    forged(root, by, BOB, logged(root))
    assert problems(root) == [Problem.RECEIPT, Problem.MISSING]


def test_nor_one_by_who_may_not_approve(root: Path) -> None:
    """An approver logs it in the name of a reviewer, who has signed the papers."""
    add(root, EVE, Role.REVIEWER)
    forged(root, ALICE, EVE, logged(root), asked=logged(root, ALICE))
    assert problems(root) == [Problem.RECEIPT, Problem.MISSING]


def test_nor_one_of_what_was_never_begun(root: Path) -> None:
    def done_alone(event: str, fields: Mapping[str, Any]) -> None:
        if event == "destroy.done":
            logged(root)(event, fields)

    forged(root, ALICE, BOB, done_alone, asked=logged(root, ALICE))
    assert problems(root) == [Problem.RECEIPT, Problem.MISSING]


def test_nor_one_of_another_sample_than_was_asked_for(root: Path) -> None:
    forged(root, ALICE, BOB, logged(root), asked=logged(root, ALICE), of="three")
    found = check_vault(str(root)).faults
    assert [fault.problem for fault in found] == [Problem.RECEIPT, Problem.MISSING]
    assert "the order it refers to does not name this sample" in found[0].detail


def test_nor_one_by_who_asked_for_it(root: Path) -> None:
    forged(root, BOB, BOB, logged(root), asked=logged(root, BOB))
    found = check_vault(str(root)).faults
    assert [fault.problem for fault in found] == [Problem.RECEIPT, Problem.MISSING]
    assert "not signed by the two people it names" in found[0].detail


def test_a_receipt_counts_for_nothing_where_nobody_is_known(tmp_path: Path) -> None:
    fill(tmp_path / "vault", [READER.recipient], *SAMPLES)
    forged(tmp_path / "vault", ALICE, BOB)
    assert problems(tmp_path / "vault") == [Problem.RECEIPT, Problem.MISSING]


def test_an_order_counts_only_with_a_line_of_who_asked(root: Path) -> None:
    before = files(root)
    order = request(str(root), [asset("one")], "reason", ALICE, silent)
    with pytest.raises(EvidenceError, match="the audit log does not say that alice asked for it"):
        approve(str(root), order.id, BOB, TRUSTED, logged(root))
    # Nor with somebody else's.
    logged(root)("destroy.requested", {"order": order.id, "order_sha256": order.sha256})
    with pytest.raises(EvidenceError, match="the audit log does not say that alice asked for it"):
        approve(str(root), order.id, BOB, TRUSTED, logged(root))
    assert files(root) == before


def test_what_is_sealed_again_takes_another_order(root: Path) -> None:
    unnamed = seal(Vault(str(root), [READER.recipient]), SAMPLES[0])  # a killed run's
    done = destroy(root, asset("one"))
    receipt = (root / "destroyed").glob("*.dsse.json")
    (path,) = receipt
    papers = path.read_bytes()
    again = fill(root, [READER.recipient], SAMPLES[0], context="c1")["one"]
    before = files(root)
    noted: list[str] = []
    (found,) = approve(str(root), done, BOB, TRUSTED, lambda event, _: noted.append(event))
    assert (files(root), path.read_bytes(), noted) == (before, papers, [])
    assert again.path not in {copy.object for copy in found.copies}
    assert destroy(root, asset("one"), reason="and again") != done
    assert not (root / again.path).exists()
    assert check_vault(str(root)).faults == []
    last = verify_receipt(str(root), id_of(again.path), TRUSTED)
    assert last is not None
    assert {again.path, unnamed.path} < {copy.object for copy in last.copies}, "those of before too"


def test_a_receipt_that_is_lost_is_not_written_by_one_person(root: Path) -> None:
    """It would excuse what went missing since."""
    done = destroy(root, asset("one"))
    (path,) = root.glob("destroyed/*.dsse.json")
    again = fill(root, [READER.recipient], SAMPLES[0], context="c1")["one"]
    (root / again.path).unlink()
    (root / again.key_path).unlink()
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"signatures": []}))
    with pytest.raises(EvidenceError, match=r"not signed by the two .* was carried out: restore"):
        approve(str(root), done, BOB, TRUSTED, logged(root))
    path.unlink()
    with pytest.raises(EvidenceError, match=f"is not there, though order {done} was done"):
        approve(str(root), done, BOB, TRUSTED, logged(root))
    path.write_text(whole)
    assert problems(root) == [Problem.MISSING]
    destroy(root, asset("one"), reason="it is gone")
    assert problems(root) == [], "two people answer for it"


def test_who_asks_says_which_contents_of_an_id(root: Path) -> None:
    """Other bytes in the place of an asset have its id."""
    first = fill(root, [READER.recipient], SAMPLES[0], context="c1")["one"]
    other = fill(root, [READER.recipient], Sample("one", (b"other",)), context="c2")["one"]
    old, new = id_of(first.path), id_of(other.path)
    asked = logged(root, ALICE)

    def ask(*named: str, all_of_it: bool = False) -> set[str]:
        order = request(
            *(str(root), [asset("one")], "reason", ALICE, asked),
            samples=named,
            others_too=all_of_it,
        )
        return {each.sample for each in order.samples}

    with pytest.raises(UsageError, match="2 contents were sealed under that id") as refused:
        ask()
    assert old in str(refused.value)
    assert new in str(refused.value)
    with pytest.raises(UsageError, match=r"no sample .* that one of these assets lies in"):
        ask("0" * 40)
    assert ask(all_of_it=True) == {old, new}
    assert ask(new) == {new}
    order = request(str(root), [asset("one")], "so", ALICE, asked, samples=[new])
    approve(str(root), order.id, BOB, TRUSTED, logged(root))
    assert (root / first.path).exists()
    assert not (root / other.path).exists()
    assert problems(root) == []


def test_a_receipt_covers_no_other_assets_than_it_names(root: Path) -> None:
    """What two people called one asset was another: the manifests say so, once they are back."""
    destroy(root, asset("one"))
    (manifest,) = (root / "manifest").glob("*.jsonl")
    whole = manifest.read_text()
    manifest.write_text(whole.replace(asset("one"), "e" * 32))
    log_manifests(root)
    found = check_vault(str(root))
    assert "names other assets than those that lay in" in found.faults[-2].detail
    assert [fault.problem for fault in found.faults][-2:] == [Problem.RECEIPT, Problem.MISSING]
    named = named_objects(str(root))
    (gone,) = (each for each in named.values() if not (root / each.path).exists())
    assert not Holding(str(root), read_log(str(root))).accounts_for(gone)


def test_the_keys_are_those_of_then(root: Path) -> None:
    """Who leaves, or gets another key, takes no receipt along, and vouches for no earlier one."""
    destroy(root, asset("one"))
    remove_reviewer(str(root), "alice", ADA.key)
    assert problems(root) == []
    add(root, Person("alice", EVE.key), Role.APPROVER)
    remove_reviewer(str(root), "bob", ADA.key)
    assert problems(root) == [], "by the keys that were theirs"
    (path,) = root.glob("destroyed/*.dsse.json")
    envelope = Envelope.read(str(path), RECEIPT_TYPE, EvidenceError)
    assert envelope is not None
    Envelope(RECEIPT_TYPE, envelope.payload).signed(EVE.key).write(str(path))
    assert problems(root) == [Problem.RECEIPT, Problem.MISSING], "signed with a later key"


def test_a_receipt_that_does_not_hold_excuses_nothing(root: Path) -> None:
    destroy(root, asset("one"))
    (path,) = root.glob("destroyed/*.dsse.json")
    sample = path.name.removesuffix(".dsse.json")
    whole = path.read_text()

    assert problems(root) == []
    path.write_text(json.dumps(json.loads(whole) | {"signatures": []}))
    assert problems(root) == [Problem.RECEIPT, Problem.MISSING]
    path.write_text("{}")
    assert problems(root) == [Problem.RECEIPT, Problem.MISSING]
    path.unlink()
    assert problems(root) == [Problem.MISSING]
    for trusted in (dict[str, Ed25519PublicKey](), {"bob": BOB.key.public_key()}):
        path.write_text(whole)
        with pytest.raises(EvidenceError, match="not signed by the two people it names"):
            verify_receipt(str(root), sample, trusted)
    other = Path(receipt_path(str(root), "0" * 40))
    other.write_text(whole)
    with pytest.raises(EvidenceError, match="of another sample"):
        verify_receipt(str(root), "0" * 40, TRUSTED)
    other.unlink()
    path.write_text(whole)
    for order in root.glob("destroyed/orders/*"):
        order.unlink()
    with pytest.raises(EvidenceError, match="order it refers to is not there"):
        verify_receipt(str(root), sample, TRUSTED)


def test_what_is_back_after_its_destruction_shows(root: Path) -> None:
    before = files(root)
    destroy(root, asset("one"))
    for path, content in before.items():
        if not (root / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
    assert problems(root) == [Problem.NOT_DESTROYED] * 2
