"""Each attack on a list is refused: exit code 3, a message that says what to do, nothing read."""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.signing import sign_list
from ingestgate.blocklists.trust import LIST_TYPE, SIGNATURES
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2100, 1, 1, tzinfo=UTC)
Attack = Callable[[Path, Path], None]


def publish(root: Path, version: int, count: int = 30, **fields: Any) -> Path:
    """Compiles and signs a version of a partner's list; the key is the partner's own."""
    others = (hashlib.md5(b"%d of %d" % (n, version)).hexdigest() for n in range(count - 1))
    values = [LISTED_MD5, *others]
    source = root.parent / "md5.txt"
    source.write_text("\n".join(values) + "\n")
    compile_list(
        id="partner",
        version=version,
        sources=[("md5", str(source))],
        to=str(root),
        issued=ISSUED,
        **{"expires": UNTIL, **fields},
    )
    directory = root / f"partner-{version}"
    sign_list(str(directory), read_signing_key(str(root.parent / "key.pem")), now=ISSUED)
    return directory


def _flipped(lists: Path, _: Path) -> None:
    path = lists / "partner-2" / "md5.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncated(lists: Path, _: Path) -> None:
    path = lists / "partner-2" / "md5.arrow"
    path.write_bytes(path.read_bytes()[:-8])


def _restated(lists: Path, version: int = 2, **fields: Any) -> None:
    path = lists / f"partner-{version}" / "list.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}, indent=1) + "\n")


def _signed_as_it_is(lists: Path, version: int = 2) -> None:
    """By a partner's own tool, which looks at nothing."""
    directory = lists / f"partner-{version}"
    envelope = Envelope(LIST_TYPE, (directory / "list.json").read_bytes())
    key = read_signing_key(str(lists.parent / "key.pem"))
    envelope.signed(key).write(str(directory / SIGNATURES))


def _loosened(lists: Path, _: Path) -> None:
    _restated(lists, action="observe")


def _prolonged(lists: Path, _: Path) -> None:
    _restated(lists, expires="2099-01-01T00:00:00Z")


def _unsigned(lists: Path, _: Path) -> None:
    (lists / "partner-2" / "list.dsse.json").unlink()


def _signed_by_another(lists: Path, _: Path) -> None:
    (lists / "partner-2" / "list.dsse.json").unlink()
    generate_signing_key(str(lists.parent / "mallory.pem"))
    key = read_signing_key(str(lists.parent / "mallory.pem"))
    sign_list(str(lists / "partner-2"), key, now=ISSUED)


def _mixed(lists: Path, kept: Path) -> None:
    shutil.copy(kept / "partner-1" / "md5.arrow", lists / "partner-2" / "md5.arrow")


def _renamed(lists: Path, kept: Path) -> None:
    """The older version under the newer one's name, with its own signature."""
    shutil.rmtree(lists / "partner-2")
    shutil.copytree(kept / "partner-1", lists / "partner-2")


def _rolled_back(lists: Path, kept: Path) -> None:
    shutil.rmtree(lists / "partner-2")
    shutil.copytree(kept / "partner-1", lists / "partner-1", dirs_exist_ok=True)


def _vanished(lists: Path, _: Path) -> None:
    other = lists.parent / "other.txt"
    other.write_text("f" * 31 + "e\n")
    for path in lists.iterdir():
        shutil.rmtree(path)
    compile_list(
        id="other",
        version=1,
        sources=[("md5", str(other))],
        to=str(lists),
        issued=ISSUED,
        expires=UNTIL,
    )
    sign_list(str(lists / "other-1"), read_signing_key(str(lists.parent / "key.pem")), now=ISSUED)


def _none(lists: Path, _: Path) -> None:
    shutil.rmtree(lists)
    lists.mkdir()


def _shrunken(lists: Path, _: Path) -> None:
    publish(lists, 3, count=9)


def _frozen(lists: Path, _: Path) -> None:
    publish(lists, 3, expires=ISSUED + timedelta(days=3))


def _frozen_for_good(lists: Path, _: Path) -> None:
    """The version that the partner signed before there was a need to state an expiry."""
    shutil.rmtree(lists / "partner-2")
    publish(lists, 3)
    _restated(lists, 3, expires=None)
    _signed_as_it_is(lists, 3)


def _from_the_future(lists: Path, _: Path) -> None:
    shutil.rmtree(lists / "partner-2")
    publish(lists, 3)
    _restated(lists, 3, issued="2098-01-01T00:00:00Z")
    _signed_as_it_is(lists, 3)


def _of_another_width(lists: Path, _: Path) -> None:
    """Digests of 15 bytes, properly stated and signed by a partner who errs."""
    directory = lists / "partner-2"
    path = directory / "md5.arrow"
    with pa.ipc.open_file(pa.py_buffer(path.read_bytes())) as reader:
        batch = reader.get_batch(0)
    narrow = pa.array([value[:15] for value in batch.column(0).to_pylist()], pa.binary(15))
    schema = batch.schema.set(0, pa.field("value", pa.binary(15), nullable=False))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([narrow, *batch.columns[1:]], schema=schema))
    content = sink.getvalue().to_pybytes()
    path.write_bytes(content)
    fields = json.loads((directory / "list.json").read_text())
    fields["files"]["md5.arrow"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    _restated(lists, files=fields["files"])
    _signed_as_it_is(lists)


def _emptied(lists: Path, _: Path) -> None:
    _restated(lists, counts={})
    _signed_as_it_is(lists)


ATTACKS: dict[str, tuple[Attack, str]] = {
    "flipped byte": (_flipped, "has not the SHA-256 that list.json says; .*copy"),
    "truncation": (_truncated, "md5.arrow has .* bytes, list.json says .*copy"),
    "action changed": (_loosened, "signs another list.json .*copy the list again"),
    "expiry put off": (_prolonged, "signs another list.json .*copy the list again"),
    "signature removed": (_unsigned, "not signed.*lists sign"),
    "signed by another": (_signed_by_another, "signed by 0 of the 1 trusted keys"),
    "mix and match": (_mixed, "md5.arrow has not the SHA-256 that list.json says; .*copy"),
    "older under a newer name": (
        _renamed,
        "version 1 is older than version 2, which was seen.*put the newer",
    ),
    "rollback": (_rolled_back, "version 1 is older than version 2, which was seen.*put the newer"),
    "vanished": (_vanished, "list partner was there before, and is gone.*put it back"),
    "no list": (_none, "no compiled list there; compile one"),
    "shrunken": (
        _shrunken,
        "shrank from 30 values in version 2 to 9.*ask the partner.*lists accept",
    ),
    "freeze": (_frozen, "expired on .*get the partner's current list"),
    "freeze without expiry": (_frozen_for_good, "states no expiry.*compile it.*--expires"),
    "issued in the future": (_from_the_future, "issued in the future.*clock"),
    "wrong width": (
        _of_another_width,
        "md5.arrow has other columns or widths than its signal type; ask the partner",
    ),
    "empty": (_emptied, "the list is empty; compile the list again"),
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_refused(job: Callable[..., Job], tmp_path: Path, name: str) -> None:
    attack, said = ATTACKS[name]
    key = generate_signing_key(str(tmp_path / "key.pem"))
    lists = tmp_path / "own"
    publish(lists, 1)
    publish(lists, 2)
    kept = tmp_path / "kept"
    kept.mkdir()
    shutil.move(lists / "partner-1", kept / "partner-1")
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.lists = str(lists)
    trust = {"keys": {"partner": key}}
    (tmp_path / "policy.yaml").write_text(json.dumps({"trust": trust}))
    extra = ("--policy", str(tmp_path / "policy.yaml"), "--list-state", str(tmp_path / "seen"))
    assert gate.report(*extra)["counts"]["quarantined"] == 1
    seen = (tmp_path / "seen").read_bytes()

    attack(lists, kept)
    refused = gate.elsewhere("attacked")
    result = refused.run(*extra)
    assert result.exit_code == 3, result.output
    message = json.loads(result.stdout)["error"].replace("\n", " ")
    assert pa.compute.match_substring_regex(pa.array([message]), said)[0].as_py(), message
    assert LISTED_MD5 not in result.output
    assert not refused.output.exists()
    assert not refused.quarantine.exists()
    assert not (refused.evidence / "ledger").exists()
    assert (tmp_path / "seen").read_bytes() == seen
