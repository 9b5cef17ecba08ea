import base64
import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, StorageError, UsageError
from ingestgate.quarantine import audit
from ingestgate.quarantine.audit import (
    GENESIS,
    AuditHead,
    AuditLine,
    check_lines,
    digest_of,
    head,
    head_after,
    log_path,
    make_line,
    parse_line,
    read_log,
    require_head,
)
from ingestgate.quarantine.audit_checkpoints import read_checkpoint, write_checkpoint
from ingestgate.quarantine.audit_writing import append_machine, audit_writer, repair
from tests.object_store import ROOT_VARIABLE, ClientError, ObjectStore

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
TIME = "2026-01-02T03:04:05+00:00"


def lines(signed: list[bool]) -> list[bytes]:
    made, end = [], AuditHead(0, GENESIS)
    for number, by_person in enumerate(signed):
        line = make_line(end, TIME, "made", {"n": number, "ü": ["x"]}, KEY if by_person else None)
        made.append(line.encoded() + b"\n")
        end = head_after(line)
    return made


def refused_at(content: bytes) -> int | None:
    try:
        list(check_lines(io.BytesIO(content), "log"))
    except EvidenceError as error:
        return int(str(error).split(":")[1])
    return None


LOGS = st.lists(st.booleans(), min_size=1, max_size=6)


@given(LOGS)
def test_what_was_written_holds(signed: list[bool]) -> None:
    made = lines(signed)
    read = list(check_lines(io.BytesIO(b"".join(made)), "log"))
    assert [line.number for line in read] == list(range(1, len(made) + 1))
    assert [bool(line.key) for line in read] == signed
    assert [line.fields["n"] for line in read] == list(range(len(made)))


@given(LOGS, st.data())
def test_an_edited_byte_is_found_in_its_line(signed: list[bool], data: st.DataObject) -> None:
    made = lines(signed)
    at = data.draw(st.integers(0, len(made) - 1))
    place = data.draw(st.integers(0, len(made[at]) - 2))
    flip = data.draw(st.integers(1, 255))
    edited = bytearray(made[at])
    edited[place] ^= flip
    content = b"".join([*made[:at], bytes(edited), *made[at + 1 :]])
    assert refused_at(content) == at + 1


@given(LOGS, st.data())
def test_a_dropped_swapped_or_repeated_line_is_found(
    signed: list[bool], data: st.DataObject
) -> None:
    made = lines([*signed, True])
    at = data.draw(st.integers(0, len(made) - 2))
    other = data.draw(st.integers(at + 1, len(made) - 1))
    assert refused_at(b"".join(made[:at] + made[at + 1 :])) == at + 1
    swapped = list(made)
    swapped[at], swapped[other] = swapped[other], swapped[at]
    assert refused_at(b"".join(swapped)) == at + 1
    assert refused_at(b"".join([*made[:at], made[other], *made[at:]])) == at + 1
    assert refused_at(b"".join([*made[: other + 1], made[at], *made[other + 1 :]])) == other + 2


@given(LOGS, st.data())
def test_a_line_written_anew_is_found(signed: list[bool], data: st.DataObject) -> None:
    """Somebody who knows the format replaces a line, with digest, number and chain made right."""
    made = lines([*signed, True])
    at = data.draw(st.integers(0, len(made) - 2))
    old = parse_line(made[at][:-1])
    assert old is not None
    forged = make_line(AuditHead(at, old.previous), TIME, "made", {"n": "forged"}, OTHER)
    content = b"".join([*made[:at], forged.encoded() + b"\n", *made[at + 1 :]])
    assert refused_at(content) == at + 1


@given(LOGS, st.data())
def test_a_signature_of_a_line_is_none_of_another(signed: list[bool], data: st.DataObject) -> None:
    made = lines([*signed, True])
    at = data.draw(st.integers(0, len(made) - 1))
    line = json.loads(made[at])
    said = line | {
        "key": json.loads(made[-1])["key"],
        "signature": json.loads(made[-1])["signature"],
    }
    said["event"] = "other"
    del said["digest"]
    encoded = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    said["digest"] = digest_of(encoded)
    forged = json.dumps(said, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert refused_at(b"".join([*made[:at], forged, *made[at + 1 :]])) == at + 1


def test_a_line_has_a_key_and_a_signature_or_neither() -> None:
    unsigned = make_line(AuditHead(0, GENESIS), TIME, "made", {}, None)
    signed = make_line(AuditHead(0, GENESIS), TIME, "made", {}, KEY)
    for line in (replace(unsigned, signature=signed.signature), replace(signed, signature="")):
        assert refused_at(line.encoded() + b"\n") == 1
        assert parse_line(line.encoded()) is None


@given(LOGS, st.data())
def test_truncation_is_found_by_what_was_stated(signed: list[bool], data: st.DataObject) -> None:
    made = lines(signed)
    whole = AuditHead(len(made), digest_of(made[-1][:-1]))
    kept = data.draw(st.integers(0, len(made) - 1))
    with TemporaryDirectory() as root:
        path = Path(log_path(root))
        path.parent.mkdir()
        path.write_bytes(b"".join(made))
        assert require_head(root, whole, "it") == whole
        path.write_bytes(b"".join(made[:kept]))
        with pytest.raises(EvidenceError, match=rf"log.jsonl:{kept + 1}: missing.*truncated"):
            require_head(root, whole, "it")


def test_a_log_written_anew_is_found_by_a_checkpoint(tmp_path: Path) -> None:
    root, file = str(tmp_path / "vault"), str(tmp_path / "kept.json")
    append_machine(root, "run.started", {"n": 1}, KEY)
    append_machine(root, "run.ended", {"n": 1})
    stated = write_checkpoint(root, KEY, file)
    append_machine(root, "run.started", {"n": 2})
    assert read_checkpoint(file, KEY.public_key()) == stated == AuditHead(2, stated.head)
    assert require_head(root, stated, file).count == 3
    with pytest.raises(EvidenceError, match="not signed with the key"):
        read_checkpoint(file, OTHER.public_key())
    Path(log_path(root)).unlink()
    for number in range(3):
        append_machine(root, "run.started", {"n": number}, KEY)
    head(root)
    with pytest.raises(EvidenceError, match=r"log.jsonl:2: .*replaced"):
        require_head(root, stated, file)


def test_a_checkpoint_is_one(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no checkpoint there"):
        read_checkpoint(str(tmp_path / "none"), KEY.public_key())
    write_checkpoint(str(tmp_path), KEY, str(tmp_path / "of nothing"))
    with pytest.raises(EvidenceError, match="not a checkpoint of an audit log"):
        read_checkpoint(str(tmp_path / "of nothing"), KEY.public_key())


def test_a_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    root, file = str(tmp_path / "vault"), tmp_path / "kept.json"
    append_machine(root, "run.started", {}, KEY)
    write_checkpoint(root, KEY, str(file))
    kept = file.read_bytes()
    with pytest.raises(UsageError, match=r"kept.json: exists; a checkpoint is never overwritten"):
        write_checkpoint(root, KEY, str(file))
    assert file.read_bytes() == kept


def test_without_a_log_the_end_is_the_beginning(tmp_path: Path) -> None:
    assert head(str(tmp_path)) == AuditHead(0, GENESIS)


def test_lines_say_what_was_done(tmp_path: Path) -> None:
    with audit_writer(str(tmp_path)) as writer:
        first = writer.add("one", {"a": 1}, KEY)
        second = writer.add("two", {}, None)
    assert list(read_log(str(tmp_path))) == [first, second]
    assert head(str(tmp_path)) == head_after(second)
    path = Path(log_path(str(tmp_path)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_line_is_put_on_record(tmp_path: Path, kept: int) -> None:
    root = str(tmp_path)
    append_machine(root, "one", {})
    append_machine(root, "two", {}, KEY)
    path = Path(log_path(root))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    with pytest.raises(EvidenceError, match=r":2: the log ends in the middle"):
        head(root)
    append_machine(root, "three", {})
    events = [(line.event, dict(line.fields)) for line in read_log(root)]
    assert [event for event, _ in events] == ["one", "log.repaired", "three"]
    assert base64.b64decode(events[1][1]["torn"]) == second[:kept]
    assert not repair(root)


def test_a_line_is_checked_once_however_many_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def counted(raw: bytes) -> AuditLine | None:
        checked.append(raw)
        return parse_line(raw)

    monkeypatch.setattr(audit, "parse_line", counted)
    for number in range(20):
        append_machine(str(tmp_path), "made", {"n": number}, KEY)
    assert [line.fields["n"] for line in read_log(str(tmp_path))] == [*range(20)]
    assert len(checked) == 20, "of what was checked, the digest alone is taken again"


def test_what_was_checked_and_changed_since_is_found(tmp_path: Path) -> None:
    root, path = str(tmp_path), tmp_path / "audit" / "log.jsonl"
    for number in range(3):
        append_machine(root, "made", {"n": number}, KEY)
    assert head(root).count == 3
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"n":1', b'"n":7'))
    with pytest.raises(EvidenceError, match=r"log\.jsonl:2: .*edited"):
        append_machine(root, "made", {}, KEY)
    path.write_bytes(content[: content.index(b"\n") + 1])
    assert head(root).count == 1, "a shorter one is read anew"
    path.write_bytes(content)
    assert append_machine(root, "made", {}, KEY).number == 4


def test_repairing_without_appending(tmp_path: Path) -> None:
    append_machine(str(tmp_path), "one", {})
    with open(log_path(str(tmp_path)), "ab") as log:
        log.write(b'{"dig')
    assert repair(str(tmp_path))
    assert [line.event for line in read_log(str(tmp_path))] == ["one", "log.repaired"]


def test_a_log_that_is_being_replaced_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file cannot be replaced in one step, a crash leaves it under another name."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    root = "testtree://host/quarantine"
    append_machine(root, "one", {})
    renames = 0

    def check(_: ObjectStore, operation: str, path: str) -> None:
        nonlocal renames
        renames += operation == "rename"
        if renames > 1:
            raise ClientError("service unavailable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "_check", check)
        with pytest.raises(StorageError, match="service unavailable"):
            append_machine(root, "two", {})
    assert [line.event for line in read_log(root)] == ["one"]


def test_nothing_is_appended_to_a_log_that_does_not_hold(tmp_path: Path) -> None:
    root = str(tmp_path)
    append_machine(root, "one", {"count": 1})
    path = Path(log_path(root))
    edited = path.read_bytes().replace(b'"count":1', b'"count":2')
    path.write_bytes(edited)
    with pytest.raises(EvidenceError, match=r":1: .*edited"):
        append_machine(root, "two", {})
    assert path.read_bytes() == edited


@pytest.mark.parametrize("written", [0, 5])
def test_a_full_disk_refuses_and_leaves_no_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    root = str(tmp_path)
    append_machine(root, "one", {})
    before = Path(log_path(root)).read_bytes()
    write = os.write

    def full(handle: int, content: Any) -> int:
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, bytes(content)[:written])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="what cannot be logged is refused"):
        append_machine(root, "two", {})
    assert Path(log_path(root)).read_bytes() == before


@pytest.mark.parametrize("root", ["{}", "teststore://bucket/vault"], ids=["local", "store"])
def test_nothing_is_appended_to_another_log_than_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    root = root.format(tmp_path)
    append_machine(root, "one", {})
    with audit_writer(root) as writer:
        other = make_line(writer.head, TIME, "of somebody else", {}, None).encoded() + b"\n"
        storage.write_bytes(log_path(root), storage.read_bytes(log_path(root)) + other)
        with pytest.raises(StorageError, match="were read a moment ago; what cannot be logged"):
            writer.add("two", {}, None)
    assert [line.event for line in read_log(root)] == ["one", "of somebody else"]


def test_a_line_is_synced_before_the_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_machine(str(tmp_path), "one", {})
    synced: list[bytes] = []

    def fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    line = append_machine(str(tmp_path), "two", {})
    assert synced == [Path(log_path(str(tmp_path))).read_bytes()]
    assert synced[0].endswith(line.encoded() + b"\n")


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = Path(log_path(str(tmp_path)))
    path.parent.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="what cannot be logged is refused"):
        append_machine(str(tmp_path), "one", {})


def test_a_lock_that_somebody_keeps_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path)
    append_machine(root, "one", {})
    monkeypatch.setattr("ingestgate.quarantine.audit_writing.LOCK_SECONDS", 0.0)
    with (
        audit_writer(root),
        pytest.raises(StorageError, match="held by somebody else; what cannot be logged"),
    ):
        append_machine(root, "two", {})
    assert [line.event for line in read_log(root)] == ["one"]
    append_machine(root, "two", {})
