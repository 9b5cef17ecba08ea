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

from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.signing import sign_list
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
Attack = Callable[[Path, Path], None]


def publish(root: Path, version: int, count: int = 30, **fields: Any) -> Path:
    """Compiles and signs a version of a partner's list; the key is the partner's own."""
    values = [LISTED_MD5, *(hashlib.md5(b"%d" % n).hexdigest() for n in range(count - 1))]
    source = root.parent / "md5.txt"
    source.write_text("\n".join(values) + "\n")
    compile_list(
        id="partner",
        version=version,
        sources=[("md5", str(source))],
        to=str(root),
        issued=ISSUED,
        **fields,
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


def _restated(lists: Path, **fields: Any) -> None:
    path = lists / "partner-2" / "list.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}, indent=1) + "\n")


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
    compile_list(id="other", version=1, sources=[("md5", str(other))], to=str(lists), issued=ISSUED)
    sign_list(str(lists / "other-1"), read_signing_key(str(lists.parent / "key.pem")), now=ISSUED)


def _none(lists: Path, _: Path) -> None:
    shutil.rmtree(lists)
    lists.mkdir()


def _shrunken(lists: Path, _: Path) -> None:
    publish(lists, 3, count=9)


def _frozen(lists: Path, _: Path) -> None:
    publish(lists, 3, expires=ISSUED + timedelta(days=3))


def _from_the_future(lists: Path, _: Path) -> None:
    shutil.rmtree(lists / "partner-2")
    directory = publish(lists, 3)
    path = directory / "list.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "issued": "2098-01-01T00:00:00Z"}, indent=1) + "\n")


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
    (directory / "list.dsse.json").unlink()


def _emptied(lists: Path, _: Path) -> None:
    _restated(lists, counts={})
    (lists / "partner-2" / "list.dsse.json").unlink()


ATTACKS: dict[str, tuple[Attack, str, bool]] = {
    "flipped byte": (_flipped, "has not the SHA-256 that list.json says; .*copy", True),
    "truncation": (_truncated, "list.json says .*copy", True),
    "action changed": (_loosened, "signs another list.json .*copy the list again", True),
    "expiry put off": (_prolonged, "signs another list.json .*copy the list again", True),
    "signature removed": (_unsigned, "not signed.*lists sign", True),
    "signed by another": (_signed_by_another, "signed by 0 of the 1 trusted keys", True),
    "mix and match": (_mixed, "md5.arrow .*list.json says", True),
    "older under a newer name": (_renamed, "version 1.*version 2", True),
    "rollback": (_rolled_back, "version 1.*version 2", True),
    "vanished": (_vanished, "partner.*", True),
    "no list": (_none, "no compiled list there; compile one", True),
    "shrunken": (_shrunken, "lists accept", True),
    "freeze": (_frozen, "expired on .*get the partner's current list", True),
    "issued in the future": (_from_the_future, "issued in the future.*clock", False),
    "wrong width": (_of_another_width, "md5.arrow", False),
    "empty": (_emptied, "the list is empty", False),
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_refused(job: Callable[..., Job], tmp_path: Path, name: str) -> None:
    attack, said, signed = ATTACKS[name]
    key = generate_signing_key(str(tmp_path / "key.pem"))
    lists = tmp_path / "own"
    publish(lists, 1, count=29)
    publish(lists, 2)
    kept = tmp_path / "kept"
    kept.mkdir()
    shutil.move(lists / "partner-1", kept / "partner-1")
    gate = job(WRITERS["webdataset"](tmp_path / "landing"))
    gate.lists = str(lists)
    # What a partner signs by mistake is refused too: then without keys.
    trust = {"keys": {"partner": key}} if signed else {}
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
