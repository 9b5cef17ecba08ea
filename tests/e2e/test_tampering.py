"""Tampering with what a gate leaves behind: each kind is found, and named.

One certified run is copied for each test, changed in one place, and looked at by the command that
has to find it: the manifest by `quarantine check`, the audit log by `audit verify`, certificate and
shards by `verify`, the ledger by `verify --evidence`; most of it by the `census` as well.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from ingestgate.assets import ledger
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.signing_keys import generate_signing_key, read_signing_key
from ingestgate.pipeline.certificate.statements import PAYLOAD_TYPE
from ingestgate.quarantine.audit import AuditHead, AuditLine, digest_of, make_line
from ingestgate.quarantine.audit_writing import audit_writer
from ingestgate.quarantine.keys import generate_identity
from ingestgate.quarantine.sealed_manifests import SealedManifest, put_on_record
from tests.e2e.conftest import Job, write_webdataset


class Certified(NamedTuple):
    """A certified run, with a checkpoint of its audit log that is kept elsewhere."""

    job: Job
    key: str
    public: str
    checkpoint: str


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, lists: str) -> Certified:
    root = tmp_path_factory.mktemp("original")
    recipient = generate_identity(str(root / "identity.txt"))
    landing = write_webdataset(root / "landing")
    job = Job(root / "job", [landing], lists, str(root / "identity.txt"), recipient)
    key = str(root / "key.pem")
    public = generate_signing_key(key)
    job.report()  # its lines are unsigned, as they are where the job has no key
    job.report("--certificate-key", key)
    checkpoint = str(root / "checkpoint.json")
    vault = ("--quarantine", str(job.quarantine))
    job.invoke("audit", "checkpoint", *vault, "--key", key, "--to", checkpoint)
    return Certified(job, key, public, checkpoint)


@pytest.fixture
def gate(original: Certified, tmp_path: Path) -> Certified:
    """A copy; everything that looks for tampering finds none yet."""
    job = original.job.copied(tmp_path / "job")
    shutil.copytree(original.job.root.parent / "landing", tmp_path / "landing")
    job.inputs = [str(tmp_path / "landing" / "*.tar")]
    made = original._replace(job=job)
    for look in (check, audit, verify, verify_evidence):
        result = look(made)
        assert result.exit_code == 0, result.output
    return made


def check(gate: Certified) -> Result:
    return gate.job.invoke("quarantine", "check", "--quarantine", str(gate.job.quarantine))


def check_evidence(gate: Certified) -> Result:
    vault, evidence = str(gate.job.quarantine), str(gate.job.evidence)
    return gate.job.invoke("quarantine", "check", "--quarantine", vault, "--evidence", evidence)


def audit(gate: Certified) -> Result:
    kept = ("--checkpoint", gate.checkpoint, "--key", gate.public)
    return gate.job.invoke("audit", "verify", "--quarantine", str(gate.job.quarantine), *kept)


def verify(gate: Certified, *extra: str) -> Result:
    return gate.job.invoke("verify", str(gate.job.output), "--key", gate.public, *extra)


def verify_evidence(gate: Certified) -> Result:
    evidence, vault = str(gate.job.evidence), str(gate.job.quarantine)
    return verify(gate, "--evidence", evidence, "--quarantine", vault)


def census(gate: Certified) -> list[str]:
    problems: list[str] = gate.job.census()["problems"]
    return problems


# The manifest


def _manifest(gate: Certified, suffix: str) -> Path:
    """The manifest of the shard that two samples were sealed from."""
    (path,) = (gate.job.quarantine / "manifest").glob(f"00000*.{suffix}")
    return path


def _rows(gate: Certified, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = _manifest(gate, "jsonl")
    rows = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def _edit_row(gate: Certified) -> None:
    _rows(gate, lambda rows: [rows[0] | {"tier": "source"}, *rows[1:]])


def _drop_row(gate: Certified) -> None:
    _rows(gate, lambda rows: rows[1:])


def _add_row(gate: Certified) -> None:
    _rows(gate, lambda rows: [*rows, rows[0] | {"asset_id": "f" * 32}])


def _edit_parquet(gate: Certified) -> None:
    path = _manifest(gate, "parquet")
    table = pq.read_table(path)
    edited = pa.array(["changed"] * table.num_rows)
    pq.write_table(table.set_column(table.schema.get_field_index("member"), "member", edited), path)


def _remove_lines(gate: Certified) -> None:
    _manifest(gate, "jsonl").unlink()


def _remove_both(gate: Certified) -> None:
    _manifest(gate, "jsonl").unlink()
    _manifest(gate, "parquet").unlink()


def _add_manifest(gate: Certified) -> None:
    for suffix in ("jsonl", "parquet"):
        path = _manifest(gate, suffix)
        shutil.copy(path, path.parent / f"00009.tar-01234567-01234567.{suffix}")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_edit_row, "jsonl: line 1: was edited: tier"),
        (_drop_row, "jsonl: a row is missing; it was dropped"),
        (_add_row, "jsonl: line 4: is in this file only; it was put in"),
        (_edit_parquet, "parquet: row 1: was edited: member"),
        (_remove_lines, "jsonl: is not there; it was removed"),
        (_remove_both, "parquet: is not there; it was removed"),
        (_add_manifest, "the audit log does not say that it was sealed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_manifest(gate: Certified, change: Callable[[Certified], None], named: str) -> None:
    rows = _manifest(gate, "jsonl").read_text().count("\n")
    named = named.replace("line 4", f"line {rows + 1}")
    change(gate)
    found = check(gate)
    assert found.exit_code == 5
    assert named in found.stdout
    if change is not _add_manifest:  # the census goes by what the receipts name
        assert any(named in problem for problem in census(gate))
    # The certificate names every manifest as well.
    listed = verify_evidence(gate)
    assert listed.exit_code == 5
    assert "manifests: 0000" in listed.stderr


def test_manifest_of_who_writes_the_log_too(gate: Certified) -> None:
    """New digests in the log, as a run would put them there: the receipts do not follow."""
    assert check_evidence(gate).exit_code == 0
    _edit_row(gate)
    lines, columns = _manifest(gate, "jsonl"), _manifest(gate, "parquet")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (lines, columns)]
    with audit_writer(str(gate.job.quarantine)) as writer:
        put_on_record(writer, [SealedManifest(lines.stem, *digests)], None)
    assert check(gate).exit_code == 0, "by the log alone"
    found = check_evidence(gate)
    assert found.exit_code == 5
    assert f"manifest/{lines.stem}: the audit log says other digests than" in found.stdout
    assert "jsonl: line 1: was edited: tier" in found.stdout
    assert any("jsonl: line 1: was edited: tier" in problem for problem in census(gate))
    assert verify_evidence(gate).exit_code == 5


# The audit log


def _log(gate: Certified) -> Path:
    return gate.job.quarantine / "audit" / "log.jsonl"


def _edit_line(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'"shards":2', b'"shards":1'), *lines[1:]]


def _drop_line(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *lines[2:]]


def _swap_lines(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def _put_in_line(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[1], *lines[2:]]


def _cut_end(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


def _tear_end(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1][:-9]]


def _line_anew(lines: list[bytes]) -> list[bytes]:
    """One line that is whole in itself; what follows was written after another."""
    said = json.loads(lines[0])
    line = make_line(AuditHead(0, "0" * 64), said["time"], said["event"], {"shards": 1}, None)
    return [line.encoded() + b"\n", *lines[1:]]


def _all_anew(lines: list[bytes]) -> list[bytes]:
    """Every line unsigned, whole and chained, the first saying something else."""
    written: list[bytes] = []
    end = AuditHead(0, "0" * 64)
    for raw in lines:
        said = json.loads(raw)
        fields = said["fields"] | ({"shards": 1} if end.count == 0 else {})
        line: AuditLine = make_line(end, said["time"], said["event"], fields, None)
        written.append(line.encoded() + b"\n")
        end = AuditHead(line.number, digest_of(line.encoded()))
    return written


@pytest.mark.parametrize(
    ("change", "line", "named"),
    [
        (_edit_line, 1, "it was edited"),
        (_line_anew, 1, "not the line that line 2 was written after: replaced"),
        (_drop_line, 2, "lines were dropped, put in or reordered"),
        (_swap_lines, 2, "lines were dropped, put in or reordered"),
        (_put_in_line, 3, "lines were dropped, put in or reordered"),
        (_cut_end, -1, "the log was truncated"),
        (_tear_end, -1, "the log ends in the middle of it"),
        (_all_anew, -1, "it was replaced"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_audit_log(
    gate: Certified, change: Callable[[list[bytes]], list[bytes]], line: int, named: str
) -> None:
    lines = _log(gate).read_bytes().splitlines(keepends=True)
    _log(gate).write_bytes(b"".join(change(lines)))
    found = audit(gate)
    assert found.exit_code == 5
    assert f"log.jsonl:{len(lines) if line < 0 else line}: " in found.stderr
    assert named in found.stderr


# The certificate


def _rewrite(gate: Certified, change: Callable[[dict[str, Any]], None], key: str = "") -> None:
    path = str(gate.job.output / "_ingestgate" / "certificate.dsse.json")
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    assert envelope is not None
    content = json.loads(envelope.payload)
    change(content)
    changed = Envelope(PAYLOAD_TYPE, json.dumps(content).encode(), envelope.signatures)
    (changed.signed(read_signing_key(key)) if key else changed).write(path, private=False)


def _edit_statement(gate: Certified) -> None:
    _rewrite(gate, lambda content: content["predicate"]["counts"].update(quarantined=0))


def _drop_subject(gate: Certified) -> None:
    _rewrite(gate, lambda content: content["subject"].pop())


def _resign(gate: Certified) -> None:
    other = str(gate.job.root.parent / "other.pem")
    generate_signing_key(other)
    _rewrite(gate, lambda content: content["subject"].pop(), other)


def _remove_certificate(gate: Certified) -> None:
    (gate.job.output / "_ingestgate" / "certificate.dsse.json").unlink()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_edit_statement, "signed by 0 of the 1 trusted keys"),
        (_drop_subject, "signed by 0 of the 1 trusted keys"),
        (_resign, "signed by 0 of the 1 trusted keys"),
        (_remove_certificate, "no certificate; this folder is not certified"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_certificate(gate: Certified, change: Callable[[Certified], None], named: str) -> None:
    change(gate)
    found = verify(gate)
    assert found.exit_code == 5
    assert f"certificate.dsse.json: {named}" in found.stderr


def test_older_certificate_put_back(gate: Certified) -> None:
    path = gate.job.output / "_ingestgate" / "certificate.dsse.json"
    old = path.read_bytes()
    policy = gate.job.root.parent / "policy.yaml"
    policy.write_text("lists: {partner: {thresholds: {pdq: 30}}}\n")
    gate.job.report("--policy", str(policy), "--certificate-key", gate.key)
    path.write_bytes(old)
    found = verify(gate, "--recalls", str(gate.job.evidence / "certificates"))
    assert found.exit_code == 5
    assert "supersedes the certificate that lies here" in found.stderr


# A shard


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[700] ^= 1
    path.write_bytes(raw)


def _drop_sample(path: Path) -> None:
    with tarfile.open(path) as tar:
        kept = [(m, tar.extractfile(m).read()) for m in tar.getmembers()[2:]]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in kept:
            tar.addfile(member, io.BytesIO(content))


def _other_shard(path: Path) -> None:
    shutil.copy(path.with_name("00000.tar"), path)


def _remove(path: Path) -> None:
    path.unlink()


def _add(path: Path) -> None:
    shutil.copy(path, path.with_name("00009.tar"))


@pytest.mark.parametrize(
    ("change", "named", "counted"),
    [
        (_flip, "00001.tar: changed", "00001.tar: "),
        (_drop_sample, "00001.tar: changed", "00001.tar: k06: admitted, but not so in the output"),
        (_other_shard, "00001.tar: changed", "00001.tar: k06: admitted, but not so in the output"),
        (_remove, "00001.tar: missing", "00001.tar"),
        (_add, "00009.tar: extra", "00009.tar: in the output, but admitted by no receipt"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_shard(gate: Certified, change: Callable[[Path], None], named: str, counted: str) -> None:
    change(gate.job.output / "00001.tar")
    found = verify(gate)
    assert found.exit_code == 5
    assert named in found.stderr
    assert any(counted in problem for problem in census(gate))


# The ledger


def _part(gate: Certified) -> Path:
    (path,) = (gate.job.evidence / "ledger" / "00000.tar.parts").glob("*.parquet")
    return path


def _rewrite_part(gate: Certified, change: Callable[[pa.Table], pa.Table]) -> None:
    """A part that is whole in itself, as the project's own writer leaves it."""
    header, table = ledger.read_part(str(_part(gate)))
    ledger.write_part(str(gate.job.evidence / "ledger"), header, change(table))


def _edit_verdict(gate: Certified) -> None:
    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        for row in rows:
            row.update(verdict="admitted", reason="clean", tier=None, findings=[])
        return pa.Table.from_pylist(rows, schema=table.schema)

    _rewrite_part(gate, change)


def _edit_fingerprint(gate: Certified) -> None:
    """So that no later list would match it: nothing but the certificate can tell."""

    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        for row in rows:
            row["md5"] = "0" * 32
        return pa.Table.from_pylist(rows, schema=table.schema)

    _rewrite_part(gate, change)


def _drop_ledger_row(gate: Certified) -> None:
    _rewrite_part(gate, lambda table: table.slice(1))


def _cut_part(gate: Certified) -> None:
    _part(gate).write_bytes(_part(gate).read_bytes()[:-100])


def _remove_part(gate: Certified) -> None:
    _part(gate).unlink()


def _add_part(gate: Certified) -> None:
    shutil.copy(_part(gate), _part(gate).with_name("part-00001.parquet"))


@pytest.mark.parametrize(
    ("change", "named", "counted"),
    [
        (_edit_verdict, "part-00000.parquet: changed", "the manifest has a row for"),
        (_edit_fingerprint, "part-00000.parquet: changed", None),
        (_drop_ledger_row, "part-00000.parquet: changed", "00000.tar: "),
        (_cut_part, "part-00000.parquet: changed", "part-00000.parquet"),
        (_remove_part, "part-00000.parquet: missing", "part-00000.parquet"),
        (_add_part, "part-00001.parquet: added since it was certified", None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_ledger(
    gate: Certified, change: Callable[[Certified], None], named: str, counted: str | None
) -> None:
    change(gate)
    found = verify_evidence(gate)
    assert found.exit_code == 5
    assert f"ledger: 00000.tar.parts/{named}" in found.stderr
    if counted is not None:
        assert any(counted in problem for problem in census(gate))
