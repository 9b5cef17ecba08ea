import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import EvidenceError, StorageError, UsageError, VaultError
from ingestgate.quarantine import rewrapping, rewraps
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.checking import check_vault
from ingestgate.quarantine.faults import Problem
from ingestgate.quarantine.inventory import rows_of
from ingestgate.quarantine.layout import id_of
from ingestgate.quarantine.opening import open_object, opener
from ingestgate.quarantine.vault import Vault
from tests.quarantine.vaults import Reader, Sample, asset, files, fill, log_manifests, reader

SAMPLES = [Sample(f"k{number}", (b"%d" % number,)) for number in range(5)]
OLD, NEW, OTHER = reader(), reader(), reader()


def rewrap(
    root: str, identities: Sequence[Any], recipients: Sequence[str], **more: Any
) -> rewrapping.Rewrapped:
    """Rewraps, and puts it on record as the command does while nobody is known."""

    def note(event: str, fields: Mapping[str, Any]) -> None:
        append_machine(root, event, fields)

    return rewrapping.rewrap(root, identities, recipients, note, **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "vault", [OLD.recipient, OTHER.recipient], *SAMPLES)
    return tmp_path / "vault"


def opens(root: Path, who: Reader) -> int:
    """How many objects somebody can open."""
    return check_vault(str(root), opener=opener([who.identity])).opened


def objects(root: Path) -> dict[str, bytes]:
    return {path: content for path, content in files(root).items() if path.startswith("objects/")}


def test_the_new_recipients_open_everything_the_old_ones_nothing(root: Path) -> None:
    before = objects(root)
    seen: list[tuple[int, int]] = []
    done = rewrap(
        *(str(root), [OLD.identity], [NEW.recipient, OTHER.recipient]),
        progress=lambda *each: seen.append(each),
    )
    assert done == (5, [])
    assert seen[-1] == (5, 5)
    assert [opens(root, who) for who in (OLD, NEW, OTHER)] == [0, 5, 5]
    assert objects(root) == before, "no object was touched"
    assert not (root / "rewrapping").exists()


def test_the_statement_says_whom_it_is_sealed_to_now(root: Path) -> None:
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    said = json.loads((root / "recipients.json").read_text())
    assert said["recipients"] == [NEW.recipient]
    assert said["retired"] == sorted([OLD.recipient, OTHER.recipient])
    (event,) = said["rewraps"]
    assert (event["keys"], event["samples"], event["unopened"]) == (5, None, 0)
    rewrap(str(root), [NEW.identity], [NEW.recipient, OLD.recipient])
    assert rewraps.retired(str(root)) == [OTHER.recipient], "who is let in again is not retired"


def test_another_rewrapping_seals_to_the_last_recipients_alone(root: Path) -> None:
    """Key files that the one before has sealed are not taken for done: it was to others."""
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert rewrap(str(root), [NEW.identity], [OTHER.recipient]) == (5, [])
    assert [opens(root, who) for who in (OLD, NEW, OTHER)] == [0, 0, 5]


def test_a_job_does_not_seal_to_who_lost_access(root: Path) -> None:
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    with pytest.raises(UsageError, match=f"{OLD.recipient}: can no longer open"):
        Vault(str(root), [NEW.recipient, OLD.recipient])
    Vault(str(root), [NEW.recipient])


def test_a_damaged_statement_is_not_taken_for_none(root: Path) -> None:
    for damaged in (b"", b"[]", b'{"version": 1, "retired": "", "recipients": [], "rewraps": []}'):
        (root / "recipients.json").write_bytes(damaged)
        with pytest.raises(VaultError, match=r"recipients\.json: damaged"):
            Vault(str(root), [NEW.recipient])


def test_a_wrong_identity_changes_nothing(root: Path) -> None:
    before = files(root)
    with pytest.raises(UsageError, match="none of the 5 key files opens"):
        rewrap(str(root), [NEW.identity], [NEW.recipient])
    assert files(root) == before
    assert sorted(path.name for path in root.iterdir()) == [
        *("audit", "keys", "manifest", "objects"),
    ]


def test_a_bad_recipient_changes_nothing(root: Path) -> None:
    before = files(root)
    with pytest.raises(UsageError, match="not an age recipient"):
        rewrap(str(root), [OLD.identity], ["age1nonsense"])
    assert files(root) == before


def test_what_does_not_open_stays_and_is_told(root: Path) -> None:
    sealed = fill(root, [NEW.recipient], Sample("late"), shard="b.tar")["late"]
    done = rewrap(str(root), [OLD.identity], [OLD.recipient])
    assert [path for path, _ in done.unopened] == [sealed.key_path]
    assert "cannot be opened" in done.unopened[0][1]
    assert done.done == 5
    assert opens(root, NEW) == 1
    assert rewraps.statement(str(root))["rewraps"][0]["unopened"] == 1


def test_only_some_samples(root: Path) -> None:
    paths = sorted(objects(root))[:2]
    chosen = frozenset(id_of(path) for path in paths)
    everybody = [OLD.recipient, OTHER.recipient, NEW.recipient]
    assert rewrap(str(root), [OLD.identity], everybody, samples=chosen).done == 2
    assert [opens(root, who) for who in (OLD, NEW)] == [5, 2]
    said = rewraps.statement(str(root))
    assert said["rewraps"][0]["samples"] == sorted(chosen)
    assert (said["recipients"], said["retired"]) == ([], []), "of the whole, nothing changed"


class Killed(BaseException):
    """What ends a process between two writes."""


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_interrupted_at_any_write_the_same_again_completes_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Although the old identity no longer opens what is done."""
    monkeypatch.setattr(rewrapping, "_BATCH", batch)
    plain = {path: open_object(str(root), path, [OLD.identity]) for path in objects(root)}
    real = os.replace
    left = 0

    def replace(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    who, to = OLD, NEW
    tries = 0
    for writes in (0, 1, 2, 3, 4, 99):
        left = writes
        tries += 1
        try:
            assert rewrap(str(root), [who.identity], [to.recipient]) == (5, [])
            break
        except Killed:
            continue
    assert tries > 2
    assert {path: open_object(str(root), path, [to.identity]) for path in objects(root)} == plain
    assert opens(root, OLD) == 0
    said = rewraps.statement(str(root))["rewraps"]
    assert [each["keys"] for each in said] in ([5], [5, 5]), "killed when it was on record: twice"
    assert check_vault(str(root)).faults == []


def test_an_unfinished_one_is_finished_before_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace
    calls = 0

    def full(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="No space left"):
            rewrap(str(root), [OLD.identity], [NEW.recipient])
    before = files(root)
    for recipients, samples in (([OTHER.recipient], None), ([NEW.recipient], frozenset({"x"}))):
        with pytest.raises(UsageError, match="unfinished"):
            rewrap(str(root), [OLD.identity], recipients, samples=samples)
    assert files(root) == before
    assert rewrap(str(root), [OLD.identity], [NEW.recipient]).done == 5


@pytest.mark.parametrize("everything", [False, True])
def test_one_of_an_asset_is_finished_although_more_was_sealed_of_it_since(
    root: Path, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    def samples() -> frozenset[str]:
        return frozenset(id_of(row["sealed_object"]) for row in rows_of(str(root), asset("k0")))

    before = samples()
    stop_after(root, monkeypatch, writes=2, samples=before)
    fill(root, [OLD.recipient], Sample("k0", (b"other bytes",)), context="c1")
    assert before < samples()
    with pytest.raises(UsageError, match=r"unfinished; finish it first.*the same assets or all"):
        rewrap(str(root), [OLD.identity], [OTHER.recipient], samples=samples())
    with pytest.raises(UsageError, match="unfinished"):
        rewrap(str(root), [OLD.identity], [NEW.recipient], samples=frozenset({"another"}))
    chosen = None if everything else samples()
    done = rewrap(str(root), [OLD.identity], [NEW.recipient], samples=chosen)
    assert (done.done, done.unopened) == (6 if everything else 2, [])
    assert opens(root, NEW) == done.done
    said = rewraps.statement(str(root))["rewraps"]
    assert [each["samples"] for each in said] == [sorted(before), chosen and sorted(chosen)]
    assert [fault.detail for fault in check_vault(str(root)).faults] == []


def plant(root: Path, digests: Mapping[str, str], recipients: Sequence[str]) -> None:
    """What somebody who can write to the folder, and has no key, leaves there."""
    rewraps.announce(str(root), digests)
    (root / "rewrapping" / "00000000.json").write_text(json.dumps(dict(digests)))
    said = {"recipients": sorted(recipients), "samples": None}
    (root / "rewrapping" / "begun.json").write_text(json.dumps(said))


def garbage(root: Path) -> tuple[str, dict[str, str]]:
    """Replaces a key file by what opens nothing; returns its path, and its digest by path."""
    path = min(path for path in files(root) if path.startswith("keys/"))
    (root / path).write_bytes(b"opens nothing")
    return path, {path: hashlib.sha256(b"opens nothing").hexdigest()}


def test_what_somebody_planted_makes_no_key_file_count(root: Path) -> None:
    path, digests = garbage(root)
    plant(root, digests, [NEW.recipient])
    done = rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert [each for each, _ in done.unopened] == [path]
    assert "is not the key file that was sealed" in done.unopened[0][1]
    assert [fault.path for fault in check_vault(str(root)).faults] == [path]
    assert opens(root, NEW) == 4


def test_nor_beside_one_that_is_unfinished(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrapping, "_BATCH", 3)
    stop_after(root, monkeypatch, writes=3)
    first = min(path for path in files(root) if path.startswith("keys/"))
    (root / first).write_bytes(b"opens nothing")
    plant(root, {first: hashlib.sha256(b"opens nothing").hexdigest()}, [NEW.recipient])
    done = rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert [each for each, _ in done.unopened] == [first]
    assert done.done == 4
    assert [fault.path for fault in check_vault(str(root)).faults] == [first]


def stop_after(
    root: Path, monkeypatch: pytest.MonkeyPatch, writes: int, samples: frozenset[str] | None = None
) -> None:
    """Kills a rewrapping to the new recipient after so many writes beside the log's."""
    real, left = os.replace, writes

    def replace(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(Killed):
            rewrap(str(root), [OLD.identity], [NEW.recipient], samples=samples)


def test_what_somebody_planted_keeps_nobody_from_rewrapping(root: Path) -> None:
    plant(root, {}, [reader().recipient])
    assert rewrap(str(root), [OLD.identity], [NEW.recipient]) == (5, [])
    assert check_vault(str(root)).faults == []


def test_neither_does_one_that_changed_nothing(root: Path) -> None:
    with pytest.raises(UsageError, match="none of the 5 key files opens"):
        rewrap(str(root), [NEW.identity], [NEW.recipient])
    assert rewrap(str(root), [OLD.identity], [OTHER.recipient]) == (5, [])


@pytest.mark.parametrize("change", ["remove", "alter"])
def test_what_was_announced_has_to_be_there_as_it_was(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    stop_after(root, monkeypatch, writes=3)
    before = files(root)
    (path,) = (root / "rewrapping").iterdir()
    whole = path.read_bytes()
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(whole.replace(b"a", b"b"))
    with pytest.raises(EvidenceError, match=f"{path.name}: (is not there|was changed)"):
        rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert files(root) == before
    path.write_bytes(whole)
    assert rewrap(str(root), [OLD.identity], [NEW.recipient]) == (5, [])


def test_who_was_let_in_on_some_samples_loses_that_as_well(root: Path) -> None:
    chosen = frozenset({id_of(min(objects(root)))})
    guest = reader().recipient
    rewrap(str(root), [OLD.identity], [OLD.recipient, guest], samples=chosen)
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    with pytest.raises(UsageError, match=f"{guest}: can no longer open"):
        Vault(str(root), [guest])
    assert rewraps.retired(str(root)) == sorted([OLD.recipient, OTHER.recipient, guest])


def test_of_lines_that_do_not_say_who_lost_access_it_follows(tmp_path: Path) -> None:
    """Those of earlier versions."""
    root, record = str(tmp_path), "0" * 64
    for recipients, samples in ((["a", "b"], "all"), (["a", "guest"], ["s"]), (["c", "b"], "all")):
        said = {"recipients": recipients, "samples": samples, "record": record}
        append_machine(root, rewraps.DONE, said)
    found = rewraps.access(read_log(root))
    assert found.recipients == ("c", "b")
    assert found.retired == {"a", "guest"}


def removed(path: Path) -> None:
    path.unlink()


def nobody_lost_access(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"retired": []}))


def another_recipient(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipients": [OLD.recipient]}))


def damaged(path: Path) -> None:
    path.write_bytes(b"{")


@pytest.mark.parametrize("change", [removed, nobody_lost_access, another_recipient, damaged])
def test_who_lost_access_has_lost_it_whatever_the_statement_says(
    root: Path, change: Callable[[Path], None]
) -> None:
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    change(root / "recipients.json")
    for gone in (OLD, OTHER):
        with pytest.raises(UsageError, match=f"{gone.recipient}: can no longer open"):
            rewraps.require_access(str(root), [NEW.recipient, gone.recipient])
    rewraps.require_access(str(root), [NEW.recipient])
    (fault,) = check_vault(str(root)).faults
    assert (fault.problem, fault.path) == (Problem.CHANGED, "recipients.json")
    rewrap(str(root), [NEW.identity], [NEW.recipient])
    assert check_vault(str(root)).faults == []


def test_a_statement_that_nobody_made_is_named(root: Path) -> None:
    content = {"version": 1, "recipients": [OLD.recipient], "retired": [], "rewraps": []}
    (root / "recipients.json").write_text(json.dumps(content))
    (fault,) = check_vault(str(root)).faults
    assert fault.path == "recipients.json"
    assert "says something else than the audit log" in fault.detail


def test_an_empty_quarantine_needs_nothing(tmp_path: Path) -> None:
    Vault(str(tmp_path / "q"), [OLD.recipient])
    append_machine(str(tmp_path / "q"), "run.begun", {})
    assert rewrap(str(tmp_path / "q"), [OLD.identity], [NEW.recipient]) == (0, [])
    assert [path.name for path in (tmp_path / "q").iterdir()] == ["audit"]


def test_a_key_is_rewrapped_as_it_was(root: Path) -> None:
    def keys(who: Reader) -> set[str]:
        from ingestgate.quarantine.opening import open_key

        return {
            hashlib.sha256(open_key(str(root), path, [who.identity])).hexdigest()
            for path in objects(root)
        }

    before = keys(OLD)
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert keys(NEW) == before
    assert len(before) == 5


def problems(root: Path) -> set[Problem]:
    return {fault.problem for fault in check_vault(str(root)).faults}


def test_what_each_key_file_is_since_is_on_record(root: Path) -> None:
    before = files(root)
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert problems(root) == set()
    rewrap(str(root), [NEW.identity], [OTHER.recipient])
    assert problems(root) == set()
    path = min(path for path in before if path.startswith("keys/"))
    (root / path).write_bytes(before[path])
    (fault,) = check_vault(str(root)).faults
    assert (fault.problem, fault.path) == (Problem.CHANGED, path), "lets in who lost access"


@pytest.mark.parametrize("change", ["remove", "alter"])
def test_a_record_of_a_rewrapping_that_is_not_there_is_named(root: Path, change: str) -> None:
    rewrap(str(root), [OLD.identity], [NEW.recipient])
    (record,) = (root / "rewrapped").iterdir()
    if change == "remove":
        record.unlink()
    else:
        record.write_bytes(record.read_bytes().replace(b"a", b"b"))
    faults = check_vault(str(root)).faults
    assert faults[0].path == f"rewrapped/{record.name}"
    assert len(faults) == 6, "and no key file counts as what was sealed"


def test_a_key_file_that_was_put_in_is_not_sealed_anew(root: Path) -> None:
    one, two = sorted(path for path in files(root) if path.startswith("keys/"))[:2]
    (root / one).write_bytes((root / two).read_bytes())
    done = rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert [path for path, _ in done.unopened] == [one]
    assert "is not the key file that was sealed" in done.unopened[0][1]
    assert [fault.path for fault in check_vault(str(root)).faults] == [one]


def test_where_nothing_tells_which_key_file_is_right_the_object_has_to_open(root: Path) -> None:
    (manifest,) = (root / "manifest").glob("*.jsonl")
    rows = [json.loads(line) for line in manifest.read_bytes().splitlines()]
    old = ({**row, "schema_version": 1, "sealed_key_sha256": None} for row in rows)
    manifest.write_text("".join(json.dumps(row) + "\n" for row in old))
    log_manifests(root)
    one, two = sorted(path for path in files(root) if path.startswith("keys/"))[:2]
    (root / one).write_bytes((root / two).read_bytes())
    done = rewrap(str(root), [OLD.identity], [NEW.recipient])
    assert (done.done, [path for path, _ in done.unopened]) == (4, [one])


def test_a_rewrapping_that_cannot_be_logged_is_not_begun_nor_ended(root: Path) -> None:
    before = files(root)

    def refuse(at: str) -> Any:
        def note(event: str, fields: Mapping[str, Any]) -> None:
            if event.endswith(at):
                raise StorageError("no room in the log")
            append_machine(str(root), event, fields)

        return note

    with pytest.raises(StorageError, match="no room in the log"):
        rewrapping.rewrap(str(root), [OLD.identity], [NEW.recipient], refuse("begun"))
    assert files(root) == before
    with pytest.raises(StorageError, match="no room in the log"):
        rewrapping.rewrap(str(root), [OLD.identity], [NEW.recipient], refuse("done"))
    faults = check_vault(str(root)).faults
    assert len(faults) == 5
    assert "a rewrapping is unfinished" in faults[0].detail
    assert rewrap(str(root), [OLD.identity], [NEW.recipient]).done == 5
    assert problems(root) == set()
