import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.exemptions import EXEMPTION_TYPE, except_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.signing import sign_list
from ingestgate.blocklists.trust import ANYBODY, EXEMPTION, LIST_TYPE, SIGNATURES, Trust
from tests.blocklists.conftest import ISSUED

Open = Callable[..., ListSet]
Compile = Callable[..., ListInfo]
VALUE = "0123456789abcdef0123456789abcdef"
ALICE, BOB = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
ONE = Trust({"alice": ALICE.public_key()})
BOTH = Trust({"alice": ALICE.public_key(), "bob": BOB.public_key()}, threshold=2)
EXPIRES = ISSUED + timedelta(days=10)
LATER = EXPIRES + timedelta(days=2)
UNTIL = LATER + timedelta(days=3)


@pytest.fixture
def directory(tmp_path: Path, compiled: Compile) -> Path:
    """A list that has expired two days ago, signed by two."""
    compiled(md5=VALUE, expires=EXPIRES)
    path = tmp_path / "lists" / "partner-1"
    for key in (ALICE, BOB):
        sign_list(str(path), key, now=ISSUED)
    return path


def make(directory: Path, *keys: Ed25519PrivateKey, **options: Any) -> int:
    arguments = {"until": UNTIL, "reason": "moving house", "now": LATER, **options}
    return [except_list(str(directory), key, **arguments)[1] for key in keys][-1]


def refused(opened: Open, reason: str, trust: Trust = ONE, now: datetime = LATER) -> None:
    for verify in (True, False):
        with pytest.raises(ListError, match=reason):
            opened(now=now, trust=trust, verify=verify)


def test_an_exception_lets_an_expired_list_be_used_and_is_named(
    directory: Path, opened: Open
) -> None:
    refused(opened, "list partner version 1 expired")
    make(directory, ALICE)
    exemption = opened(now=LATER, trust=ONE).exemptions["partner"]
    assert (exemption.until, exemption.reason) == (UNTIL, "moving house")
    assert exemption.signed_by == ("alice",)
    assert opened(now=ISSUED, trust=ONE).exemptions == {}  # not expired: not needed


def test_it_ends(directory: Path, opened: Open) -> None:
    make(directory, ALICE)
    assert opened(now=UNTIL, trust=ONE)
    refused(opened, "this exception holds from .* only", now=UNTIL + timedelta(seconds=1))
    refused(opened, "this exception holds from .* only", now=LATER - timedelta(seconds=1))


def test_a_set_of_lists_knows_when_the_first_of_them_ends(
    directory: Path, compiled: Compile, opened: Open
) -> None:
    make(directory, ALICE)
    compiled("longer", 1, md5=VALUE, expires=UNTIL + timedelta(days=1))
    sign_list(str(directory.parent / "longer-1"), ALICE, now=ISSUED)
    second = timedelta(seconds=1)
    for now, end in ((ISSUED, EXPIRES), (LATER, UNTIL)):
        lists = opened(now=now, trust=ONE)
        for one in (lists, lists.showing_canaries()):
            assert one.in_force_until == end
            assert not one.have_expired(end)
            assert one.have_expired(end + second)


def test_lists_that_never_expire_never_have(compiled: Compile, opened: Open) -> None:
    compiled(md5=VALUE)
    assert opened().in_force_until is None
    assert not opened().have_expired(UNTIL)


def test_without_trusted_keys_there_are_no_exceptions(directory: Path, opened: Open) -> None:
    make(directory, ALICE)
    refused(opened, "there are no trusted keys to check this exception by", ANYBODY)


def test_it_needs_as_many_signatures_as_lists_do(directory: Path, opened: Open) -> None:
    make(directory, BOB)
    refused(opened, r"exception.dsse.json: signed by 0 of the 1 trusted keys")
    refused(opened, r"exception.dsse.json: signed by 1 of the 2 trusted keys \(bob\)", BOTH)
    assert make(directory, ALICE, now=LATER + timedelta(hours=1)) == 2
    signers = opened(now=LATER, trust=BOTH).exemptions["partner"].signed_by
    assert signers == ("alice", "bob")


def test_who_signs_is_told_the_right_command(directory: Path, opened: Open) -> None:
    make(directory, BOB)
    refused(opened, "have it signed with 'ingestgate lists except' by a key", BOTH)
    (directory / SIGNATURES).unlink()
    sign_list(str(directory), BOB, now=ISSUED)
    refused(opened, "have it signed with 'ingestgate lists sign' by a key", BOTH)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"reason": "it's another"}, "reason"),
        ({"until": UNTIL + timedelta(days=1)}, "until"),
        ({"reason": "another", "until": UNTIL + timedelta(days=1)}, "until and reason"),
    ],
)
def test_signatures_are_not_lost_to_another_exception(
    directory: Path, options: dict[str, Any], others: str
) -> None:
    make(directory, BOB, reason="it's moving")
    before = (directory / EXEMPTION).read_bytes()
    said = {"reason": "it's moving", **options}
    with pytest.raises(UsageError, match=f"with another {others} is there, signed by 1; ") as e:
        make(directory, ALICE, **said)
    assert (directory / EXEMPTION).read_bytes() == before
    same = f"give --until {UNTIL:%Y-%m-%dT%H:%M:%S} --reason 'it'\"'\"'s moving'; "
    assert same in str(e.value)
    assert make(directory, ALICE, **said, replace=True) == 1
    assert make(directory, BOB, **said) == 2


def test_of_two_who_sign_at_once_one_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Envelope.write

    def beside_another(envelope: Envelope, path: str) -> None:
        monkeypatch.setattr(Envelope, "write", write)
        with pytest.raises(ListError, match="partner-1: another change is under way there; wait"):
            except_list(str(directory), BOB, until=UNTIL, reason="late", now=LATER)
        write(envelope, path)

    monkeypatch.setattr(Envelope, "write", beside_another)
    except_list(str(directory), ALICE, until=UNTIL, reason="late", now=LATER)
    assert except_list(str(directory), BOB, until=UNTIL, reason="late", now=LATER)[1] == 2


def test_an_exception_that_is_over_is_replaced(directory: Path) -> None:
    make(directory, BOB)
    later = UNTIL + timedelta(seconds=1)
    assert make(directory, ALICE, now=later, until=later + timedelta(days=1)) == 1


def test_it_is_for_one_version(
    tmp_path: Path, directory: Path, compiled: Compile, opened: Open
) -> None:
    make(directory, ALICE)
    compiled("partner", 2, md5=VALUE, expires=EXPIRES)
    newer = tmp_path / "lists" / "partner-2"
    sign_list(str(newer), ALICE, now=ISSUED)
    refused(opened, "list partner version 2 expired")
    shutil.copy(directory / EXEMPTION, newer / EXEMPTION)
    refused(opened, "is for another list than list partner version 2")


def test_a_signature_over_a_list_is_none_over_an_exception(directory: Path, opened: Open) -> None:
    make(directory, BOB)
    mine = Envelope.read(str(directory / EXEMPTION), EXEMPTION_TYPE, ListError)
    lists = Envelope.read(str(directory / SIGNATURES), LIST_TYPE, ListError)
    assert mine
    assert lists
    swapped = Envelope(EXEMPTION_TYPE, mine.payload, lists.signatures)
    swapped.write(str(directory / EXEMPTION))
    refused(opened, "signed by 0 of the 1")
    shutil.copy(directory / SIGNATURES, directory / EXEMPTION)
    refused(opened, "not a signed statement of type application/vnd.ingestgate.list-exception")


def test_a_signed_one_without_end_is_refused(directory: Path, opened: Open) -> None:
    make(directory, ALICE)
    envelope = Envelope.read(str(directory / EXEMPTION), EXEMPTION_TYPE, ListError)
    assert envelope
    fields = json.loads(envelope.payload)
    for changed in (
        {"until": "2999-01-01T00:00:00Z"},
        {"until": fields["made"]},
        {"reason": ""},
        {"digest": "x"},
    ):
        payload = json.dumps({**fields, **changed}).encode()
        Envelope(EXEMPTION_TYPE, payload).signed(ALICE).write(str(directory / EXEMPTION))
        refused(opened, "not an exception for a list")


def test_what_cannot_be_made(directory: Path) -> None:
    for options, reason in (
        ({"until": LATER + timedelta(days=32)}, "version 1: it must end within 31 days"),
        ({"until": LATER}, "within 31 days"),
        ({"reason": ""}, "at least 1 character"),
    ):
        with pytest.raises(UsageError, match=reason):
            make(directory, ALICE, **options)
    with pytest.raises(UsageError, match="wants the directory of one list"):
        make(directory.parent, ALICE)
