import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import EvidenceError, UsageError, VaultError
from ingestgate.assets.receipts import Receipt, write_receipt
from ingestgate.quarantine import checking
from ingestgate.quarantine.audit import read_log
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.checking import VaultCheck, check_vault
from ingestgate.quarantine.faults import Problem
from ingestgate.quarantine.holding import Holding
from ingestgate.quarantine.inventory import named_objects
from ingestgate.quarantine.locking import quarantine_lock
from ingestgate.quarantine.manifest_checking import check_manifests
from ingestgate.quarantine.opening import opener
from ingestgate.quarantine.rewrapping import rewrap
from ingestgate.quarantine.surplus import remove, superfluous
from ingestgate.quarantine.vault import SealedObject, Vault
from tests.quarantine.vaults import Reader, Sample, asset, fill, log_manifests, reader, seal

SAMPLES = (Sample("one"), Sample("two", (b"left", b"right")))


@pytest.fixture
def person() -> Reader:
    return reader()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def sealed(root: Path, person: Reader) -> dict[str, SealedObject]:
    return fill(root, [person.recipient], *SAMPLES)


def problems(found: VaultCheck) -> list[tuple[Problem, str]]:
    return [(fault.problem, fault.path) for fault in found.faults]


def test_a_whole_quarantine_is_sound(
    root: Path, person: Reader, sealed: dict[str, SealedObject]
) -> None:
    seen: list[tuple[int, int]] = []
    found = check_vault(str(root), progress=lambda *each: seen.append(each))
    assert (found.objects, found.sound, found.opened, found.faults) == (2, 2, 0, [])
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert check_vault(str(root), opener=opener([person.identity])).opened == 2
    assert json.loads(json.dumps(found.as_dict()))["sound"] is True


def test_a_quarantine_without_a_match_is_sound(root: Path) -> None:
    Vault(str(root), [reader().recipient])
    append_machine(str(root), "run.begun", {})
    assert check_vault(str(root)).as_dict()["sound"] is True


def test_no_quarantine_is_not(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("none", "other"):
        with pytest.raises(UsageError, match="no quarantine there"):
            check_vault(str(tmp_path / name))


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("path", lambda p: p.unlink(), Problem.MISSING),
        ("key_path", lambda p: p.unlink(), Problem.MISSING),
        ("path", lambda p: p.write_bytes(p.read_bytes()[:-1]), Problem.CHANGED),
        ("path", lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\0"), Problem.CHANGED),
        ("key_path", lambda p: p.write_bytes(b""), Problem.CHANGED),
        ("key_path", lambda p: p.write_bytes(b"x"), Problem.CHANGED),
    ],
    ids=["no-object", "no-key", "object-cut", "object-altered", "key-empty", "key-garbage"],
)
def test_what_is_wrong_shows_without_a_key(
    root: Path,
    sealed: dict[str, SealedObject],
    file: str,
    change: Callable[[Path], object],
    problem: Problem,
) -> None:
    path = getattr(sealed["two"], file)
    change(root / path)
    found = check_vault(str(root))
    assert problems(found) == [(problem, path)]
    assert found.faults[0].assets == tuple(sorted([asset("two"), asset("two", 1)]))
    assert found.sound == 1
    assert found.as_dict()["problems"][problem] == 1


def test_a_key_file_of_another_object_shows(root: Path, sealed: dict[str, SealedObject]) -> None:
    one, two = sealed["one"], sealed["two"]
    (root / one.key_path).write_bytes((root / two.key_path).read_bytes())
    assert problems(check_vault(str(root))) == [(Problem.CHANGED, one.key_path)]


def as_version_1(root: Path) -> None:
    """Leaves the manifest as version 1 wrote it."""
    (path,) = (root / "manifest").glob("*.jsonl")
    rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    for row in rows:
        del row["sealed_key_sha256"]
        row["schema_version"] = 1
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    log_manifests(root)


def test_rows_that_do_not_say_what_their_key_file_is_are_still_checked(
    root: Path, person: Reader, sealed: dict[str, SealedObject]
) -> None:
    """Another key file then shows to who can open only."""
    as_version_1(root)
    assert check_vault(str(root)).sound == 2
    (root / sealed["one"].key_path).write_bytes((root / sealed["two"].key_path).read_bytes())
    assert problems(check_vault(str(root))) == []
    found = check_vault(str(root), opener=opener([person.identity]))
    assert problems(found) == [(Problem.UNOPENED, sealed["one"].path)]
    assert not Holding(str(root), []).holds(named_objects(str(root))[sealed["two"].path])
    (root / sealed["one"].key_path).write_bytes(b"")  # opens nothing, whatever it was
    assert problems(check_vault(str(root))) == [(Problem.CHANGED, sealed["one"].key_path)]


def test_a_copy_is_not_superfluous_beside_one_that_nothing_tells_the_key_file_of(
    root: Path, person: Reader, sealed: dict[str, SealedObject]
) -> None:
    as_version_1(root)
    extra = seal(Vault(str(root), [person.recipient]), SAMPLES[0])
    own = (root / sealed["one"].key_path).read_bytes()
    for key_file in (b"opens nothing", own):
        (root / sealed["one"].key_path).write_bytes(key_file)
        assert superfluous(str(root), list(read_log(str(root)))) == []
        faults = check_vault(str(root)).faults
        assert [fault.path for fault in faults] == [extra.key_path, extra.path]
        assert all("rewrap first, then --remove-unnamed" in fault.detail for fault in faults)

    def note(event: str, fields: Mapping[str, Any]) -> None:
        append_machine(str(root), event, fields)

    rewrap(str(root), [person.identity], [person.recipient], note)
    assert superfluous(str(root), list(read_log(str(root)))) == [extra.key_path, extra.path]
    assert "takes away what is superfluous" in check_vault(str(root)).faults[0].detail


def test_a_wrong_identity_opens_nothing(root: Path, sealed: dict[str, SealedObject]) -> None:
    found = check_vault(str(root), opener=opener([reader().identity]))
    assert {problem for problem, _ in problems(found)} == {Problem.UNOPENED}
    assert (found.opened, found.sound) == (0, 0)


@pytest.mark.parametrize("field", ["package_sha256", "sha256"])
def test_content_that_is_not_the_manifests_shows_to_who_can_open(
    root: Path, person: Reader, sealed: dict[str, SealedObject], field: str
) -> None:
    (path,) = (root / "manifest").glob("*.jsonl")
    first, rest = path.read_text().split("\n", 1)
    path.write_text(first.replace(json.loads(first)[field], "0" * 64) + "\n" + rest)
    log_manifests(root)
    assert check_vault(str(root)).faults == [], "who can write to the log as well"
    found = check_vault(str(root), opener=opener([person.identity]))
    assert problems(found) == [(Problem.CHANGED, sealed["one"].path)]


def test_an_object_of_another_size_than_its_manifest_says_shows(
    root: Path, sealed: dict[str, SealedObject]
) -> None:
    (path,) = (root / "manifest").glob("*.jsonl")
    first, rest = path.read_text().split("\n", 1)
    size = sealed["one"].size
    path.write_text(first.replace(f'"sealed_size":{size}', '"sealed_size":1') + "\n" + rest)
    log_manifests(root)
    (fault,) = check_vault(str(root)).faults
    assert f"is not what the manifest says ({size} bytes, want 1)" in fault.detail


def test_a_log_that_says_something_else_than_the_receipts_is_named(
    root: Path, tmp_path: Path, sealed: dict[str, SealedObject]
) -> None:
    """Who changes a manifest and writes the log anew has not changed the evidence of the run."""
    (path,) = (root / "manifest").glob("*.jsonl")
    evidence = str(tmp_path / "evidence")
    said = dict.fromkeys(("jsonl", "parquet"), "0" * 64)
    receipt = Receipt("a.tar", "webdataset", "", 1, "", 1, "", [], {}, [], path.stem, said, "", "")
    write_receipt(evidence, receipt)
    first, *others = check_vault(str(root), evidence=[evidence]).faults
    name = f"manifest/{path.stem}"
    assert first.detail.startswith(f"{name}: the audit log says other digests than {evidence}")
    assert [each.path for each in others] == [f"{name}.jsonl", f"{name}.parquet"]


def test_copies_that_no_manifest_names_are_found_and_removed(
    root: Path, person: Reader, sealed: dict[str, SealedObject]
) -> None:
    extra = seal(Vault(str(root), [person.recipient]), SAMPLES[0])
    assert problems(check_vault(str(root))) == [
        (Problem.UNNAMED, extra.key_path),
        (Problem.UNNAMED, extra.path),
    ]
    for fault in check_vault(str(root)).faults:
        assert "or one that judged its shard again by the same rules" in fault.detail
        assert "--remove-unnamed takes away what is superfluous" in fault.detail
    paths = superfluous(str(root), list(read_log(str(root))))
    assert paths == [extra.key_path, extra.path]
    remove(str(root), paths)
    assert check_vault(str(root), opener=opener([person.identity])).as_dict()["sound"] is True


def test_nothing_is_superfluous_while_a_manifest_is_not_what_is_on_record(
    root: Path, tmp_path: Path, person: Reader, sealed: dict[str, SealedObject]
) -> None:
    fill(root, [person.recipient], Sample("other"), shard="b.tar")
    lines = list(read_log(str(root)))
    named = sorted((root / "manifest").glob("a.tar*"))
    for path in named:
        path.rename(tmp_path / path.name)
    with pytest.raises(EvidenceError, match=r"is not there; it was removed\. Nothing is removed"):
        superfluous(str(root), lines)
    for path in named:
        (tmp_path / path.name).rename(path)
    whole = named[0].read_bytes()
    named[0].write_bytes(whole.split(b"\n", 1)[1])
    with pytest.raises(EvidenceError, match=r"is not what was sealed; it was changed\. Nothing"):
        superfluous(str(root), lines)
    named[0].write_bytes(whole)
    with pytest.raises(EvidenceError, match=r"does not say that it was sealed.*Nothing is removed"):
        superfluous(str(root), [])
    assert superfluous(str(root), lines) == []


@pytest.mark.parametrize("loss", ["never-named", "named-copy-gone"])
def test_what_may_be_all_that_is_left_of_a_sample_is_not_superfluous(
    root: Path, person: Reader, sealed: dict[str, SealedObject], loss: str
) -> None:
    vault = Vault(str(root), [person.recipient])
    if loss == "never-named":
        seal(vault, Sample("stranger"))
    else:
        seal(vault, SAMPLES[0])
        (root / sealed["one"].path).unlink()
    (root / "keys" / "README").write_text("of somebody")
    unnamed = [f for f in check_vault(str(root)).faults if f.problem is Problem.UNNAMED]
    alone = {f.path for f in unnamed if "may be all that is left of one" in f.detail}
    assert "keys/README" in alone
    assert len(alone) == (3 if loss == "never-named" else 1)
    assert superfluous(str(root), list(read_log(str(root)))) == []


def test_rows_that_differ_on_an_object_are_refused(
    root: Path, sealed: dict[str, SealedObject]
) -> None:
    (path,) = (root / "manifest").glob("*.jsonl")
    lines = path.read_text().split("\n")
    lines[-2] = lines[-2].replace(sealed["two"].plain_sha256, "0" * 64)
    path.write_text("\n".join(lines))
    log_manifests(root)
    with pytest.raises(VaultError, match="two rows of the manifest differ"):
        check_vault(str(root))


@pytest.mark.parametrize("name", ["path", "key_path"])
def test_a_row_that_leads_elsewhere_is_refused(
    root: Path, sealed: dict[str, SealedObject], name: str
) -> None:
    (path,) = (root / "manifest").glob("*.jsonl")
    value = getattr(sealed["one"], name)
    path.write_text(path.read_text().replace(value, "../../etc/passwd"))
    log_manifests(root)
    with pytest.raises(VaultError, match=r"a sealed object lies at|key file of another"):
        check_vault(str(root))


def beside(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Between each reading of the log and the look at what lies there, somebody does something."""

    def looked_at(*arguments: Any) -> Any:
        work()
        return check_manifests(*arguments)

    monkeypatch.setattr(checking, "check_manifests", looked_at)


def test_what_was_rewrapped_beside_a_check_is_not_called_changed(
    root: Path, person: Reader, sealed: dict[str, SealedObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, times = reader(), iter(range(9))

    def work() -> None:
        if next(times) == 0:
            note = partial(append_machine, str(root))
            rewrap(str(root), [person.identity], [other.recipient], note)

    beside(monkeypatch, work)
    found = check_vault(str(root), opener=opener([other.identity]))
    assert (found.faults, found.at_work, found.opened) == ([], False, 2)
    assert next(times) == 2, "it looked again, once"


def test_what_is_found_while_the_log_goes_on_is_said_to_be_uncertain(
    root: Path, sealed: dict[str, SealedObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []

    def work() -> None:
        times.append(append_machine(str(root), "run.begun", {}))

    beside(monkeypatch, work)
    sound = check_vault(str(root))
    assert (sound.faults, sound.at_work, len(times)) == ([], False, 1), "nothing to be unsure of"
    path = sealed["one"].path
    (root / path).unlink()
    found = check_vault(str(root))
    assert problems(found) == [(Problem.MISSING, path)]
    assert (found.at_work, found.as_dict()["at_work"], len(times)) == (True, True, 4)
    monkeypatch.undo()
    assert check_vault(str(root)).at_work is False


@pytest.mark.parametrize(("alone", "missing"), [(True, True), (False, False)])
def test_who_holds_the_lock_may_be_why(
    root: Path, person: Reader, sealed: dict[str, SealedObject], alone: bool, missing: bool
) -> None:
    """A job seals what no manifest names yet, and takes nothing away."""
    with quarantine_lock(str(root), alone=alone):
        assert check_vault(str(root)).at_work is False
        seal(Vault(str(root), [person.recipient]), SAMPLES[0])
        assert check_vault(str(root)).at_work is True
        (root / sealed["two"].path).unlink()
        assert check_vault(str(root)).at_work is missing
    assert check_vault(str(root)).at_work is False
