"""A job that was certified, and what asks of its certificate."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.ledger_digest import hash_shard_ledger
from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.certificate.statements import PAYLOAD_TYPE, digest_of
from ingestgate.pipeline.rescan.records import RescanRecord, write_rescan
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import context_digest
from tests.e2e.conftest import LISTED_MD5, WRITERS, Job

MakeJob = Callable[..., Job]


@pytest.fixture
def key(tmp_path: Path) -> str:
    line = generate_signing_key(str(tmp_path / "key.pem"))
    (tmp_path / "key.pub").write_text(f"# the gate's\n{line}\n")
    return str(tmp_path / "key.pem")


@pytest.fixture
def gate(job: MakeJob, tmp_path: Path, key: str) -> Job:
    """A job that was run and certified."""
    made = job(WRITERS["webdataset"](tmp_path / "landing"))
    report = made.report("--certificate-key", key)
    assert report["certificate"]["path"] == str(made.output / "_ingestgate/certificate.dsse.json")
    return made


def verify(gate: Job, *extra: str, public: bool = True) -> Result:
    trust = ("--key", str(gate.root.parent / "key.pub")) if public else ()
    return gate.invoke("verify", str(gate.output), *trust, *extra)


def refused(gate: Job, *said: str, extra: tuple[str, ...] = ()) -> None:
    result = verify(gate, *extra)
    assert result.exit_code == 5, result.output
    for text in said:
        assert text in result.stderr


def certify(gate: Job, key: str, *extra: str) -> Result:
    return gate.invoke(
        *("certify", "--output", str(gate.output), "--evidence", str(gate.evidence)),
        *("--lists", gate.lists, "--key", key, *extra),
    )


def certificate(gate: Job) -> dict[str, Any]:
    path = str(gate.output / "_ingestgate/certificate.dsse.json")
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    assert envelope is not None
    content: dict[str, Any] = json.loads(envelope.payload)
    return content | {"digest of it": digest_of(envelope.payload)}


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1  # of the data, and not of what is said about it
    path.write_bytes(raw)


def rewrite(gate: Job, change: Callable[[dict[str, Any]], None], key: str = "") -> None:
    """Changes what the certificate says, under the signatures it has or a new one."""
    path = str(gate.output / "_ingestgate/certificate.dsse.json")
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    assert envelope is not None
    content = json.loads(envelope.payload)
    change(content)
    # As it is written, but for the change.
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
    changed = Envelope(PAYLOAD_TYPE, text.encode(), envelope.signatures)
    (changed.signed(read_signing_key(key)) if key else changed).write(path)


def newer(gate: Job, tmp_path: Path) -> None:
    """A version 4 of the list, with the same entries."""
    shutil.copytree(gate.lists, tmp_path / "own")
    gate.lists = str(tmp_path / "own")
    (tmp_path / "md5").write_text(LISTED_MD5 + "\n")
    compile_list(
        id="partner",
        version=4,
        sources=[("md5", str(tmp_path / "md5"))],
        to=gate.lists,
        issued=datetime(2026, 1, 1, tzinfo=UTC),
    )


def rescan(gate: Job, matched: int = 0, *, id: str = "r-2026", day: int = 3) -> RescanRecord:
    lists = ListSet.open(gate.lists, now=datetime.now(UTC))
    shards = {
        name: {
            "ledger": hash_shard_ledger(str(gate.evidence), name, 1),
            "matched": matched,
            "context": context_digest(Policy(), lists.digest),
        }
        for name in ("00000.tar", "00001.tar")
    }
    record = RescanRecord(
        id=id,
        lists=[{"id": i.id, "version": i.version, "digest": i.digest} for i in lists.infos],
        lists_digest=lists.digest,
        rows=12,
        matched=2 * matched,
        shards=shards,
        started_at=f"2026-01-{day:02d}T00:00:00+00:00",
        ended_at=f"2026-01-{day:02d}T00:00:00+00:00",
        tallies={},
    )
    write_rescan(str(gate.evidence), record)
    return record


def flip_metadata(gate: Job) -> None:
    (part,) = (gate.evidence / "ledger/00001.tar.parts").glob("*.parquet")
    part.write_bytes(part.read_bytes() + b"x")
