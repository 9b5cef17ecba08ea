"""What a training job does first: is this folder what was certified, and does that still hold.

Needs the folder and the signers' public keys, nothing else. Everything that cannot be checked
counts against the folder.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError, GateError, UsageError
from ingestgate.assets.printable import counted
from ingestgate.pipeline.certificate.statements import (
    CLOCK_SKEW,
    FOLDER,
    PAYLOAD_TYPE,
    Certificate,
    Subject,
    certificate_path,
    digest_of,
    parse_certificate,
)
from ingestgate.pipeline.hashing import Meter, Show, folder_digest, hash_files
from ingestgate.pipeline.recall_notices import RecallNotice, read_notice, recall_folders
from ingestgate.quarantine.audit import AuditHead, require_head

_PROBLEMS_KEPT = 100


@dataclass(frozen=True)
class Demands:
    """What a certificate has to fulfil.

    Attributes:
        keys: Trusted public keys by name.
        threshold: How many of them have to have signed.
        max_age: How long ago a file may have been checked last, by the run or by a rescan.
        lists: By list id, the lowest version that has to have kept out what matched, of every file.
        recalls: Further files or folders of recall notices and newer certificates.
    """

    keys: Mapping[str, Ed25519PublicKey]
    threshold: int = 1
    max_age: timedelta | None = None
    lists: Mapping[str, int] = field(default_factory=dict)
    recalls: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.keys:
            raise UsageError("no trusted key; give --key or a policy that names keys")
        if not 1 <= self.threshold <= len(self.keys):
            raise UsageError(
                f"{self.threshold} signatures are wanted and {len(self.keys)} keys are given"
            )


@dataclass(slots=True)
class Verification:
    """What was found.

    Attributes:
        directory: What was looked at.
        digest: What its certificate is called by, "" without one.
        certificate: What it says, None if it cannot be believed.
        signed_by: Whose signatures of those trusted it has.
        files, bytes: What was hashed.
        seconds: How long that took.
        problems: What stands against it; the first hundred.
        problem_count: How many there are.
    """

    directory: str
    digest: str = ""
    certificate: Certificate | None = None
    signed_by: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    @property
    def verified(self) -> bool:
        """Whether nothing stands against it."""
        return self.certificate is not None and not self.problem_count

    def object(self, problem: str) -> None:
        """Notes what stands against it."""
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(problem)

    def as_dict(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        issued = self.certificate and self.certificate.predicate.issued_at.isoformat()
        return {
            "verified": self.verified,
            "directory": self.directory,
            "certificate": self.digest,
            "issued_at": issued,
            "signed_by": list(self.signed_by),
            "lists": self.certificate.lists() if self.certificate else {},
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "gigabytes_per_second": round(self.bytes / 1e9 / max(self.seconds, 1e-9), 3),
            "problems": self.problems,
            "problem_count": self.problem_count,
        }


def verify(
    directory: str,
    demands: Demands,
    now: datetime,
    *,
    threads: int = 0,
    show: Any = None,
) -> Verification:
    """Verifies a folder against the certificate that lies in it.

    Args:
        directory: The output of a gate, or a copy of it.
        demands: What its certificate has to fulfil.
        now: The time, with a time zone.
        threads: How many files are hashed at a time; 0: one per core.
        show: Told how far it is, see `Meter`.

    Returns:
        What was found. Nothing is hashed for a certificate that cannot be believed.
    """
    directory = storage.absolute(directory)
    found = Verification(directory)
    try:
        certificate = _believed(found, demands, now)
        files = _files(found, certificate)
        _compare(found, certificate, files, threads, show)
        # Notices may have come while files were hashed.
        _recalled(found, certificate, _statements(found.directory, demands.recalls))
    except GateError as error:
        found.object(str(error))
    return found


def _believed(found: Verification, demands: Demands, now: datetime) -> Certificate:
    """Returns the certificate, once it is signed by enough; notes what it does not fulfil."""
    path = certificate_path(found.directory)
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    if envelope is None:
        raise EvidenceError(f"{path}: no certificate; this folder is not certified")
    found.signed_by = envelope.signers(demands.keys)
    if len(found.signed_by) < demands.threshold:
        raise EvidenceError(
            f"{path}: signed by {len(found.signed_by)} of the {len(demands.keys)} trusted keys, "
            f"{demands.threshold} are wanted; it was changed, or signed by somebody else"
        )
    certificate = parse_certificate(path, envelope)
    found.certificate, found.digest = certificate, digest_of(envelope.payload)
    issued = certificate.predicate.issued_at
    if issued > now + CLOCK_SKEW:
        found.object(f"{path}: issued in the future ({issued.isoformat()}); check the clocks")
    if demands.max_age is not None:
        checked = certificate.checked()
        old = [name for name, at in checked.items() if now - at > demands.max_age]
        if old:
            days = demands.max_age / timedelta(days=1)
            oldest = min(old, key=lambda name: checked[name])
            found.object(
                f"{oldest}: last checked on {checked[oldest].isoformat()}, more than {days:g} days "
                f"ago, as {len(old)} of {len(checked)} subjects were; "
                "have the dataset rescanned with current lists and certified again"
            )
    for name, version in sorted(demands.lists.items()):
        shards = Counter[int]()
        for screening in certificate.predicate.screenings:
            shards[screening.versions().get(name, 0)] += screening.shards
        for had, count in sorted(shards.items()):
            if had < version:
                found.object(
                    f"{path}: {counted(count, 'shard')} held against "
                    f"{f'version {had}' if had else 'no version'} of list {name}, and version "
                    f"{version} is wanted; have them rescanned and certified again"
                )
    return certificate


def _recalled(found: Verification, certificate: Certificate, paths: Iterable[str]) -> None:
    """Notes subjects that a notice names, and whether another certificate replaces this one.

    A notice does not count for a file that this certificate says was judged anew since.
    """
    named: dict[str, list[Subject]] = {}
    for subject in certificate.subject:
        named.setdefault(subject.value, []).append(subject)
    for path in paths:
        if _is_certificate(path):
            _superseded(found, path)
            continue
        notice = read_notice(path)
        for shard in notice.shards:
            for subject in named.get(str(shard["sha256"]), ()):
                if not _is_answered(notice, subject, certificate):
                    found.object(f"{subject.name}: recalled by {path}; must not be trained on")
        if notice.certificate == found.digest:
            found.object(
                f"{path}: recalls the certificate that lies here; get the one that follows"
            )


def _is_answered(notice: RecallNotice, subject: Subject, certificate: Certificate) -> bool:
    said = subject.annotations
    uses = [
        use.model_dump()
        for screening in certificate.predicate.screenings
        for use in screening.judged_with
        if screening.id == said.screening
    ]
    return said.committed_at is not None and notice.is_answered_by(said.committed_at, uses)


def _statements(directory: str, recalls: Sequence[str]) -> Iterator[str]:
    own = storage.join(directory, FOLDER, "recalls")
    folders = [own] if storage.is_directory(own) else []
    for path in recalls:
        if storage.is_directory(path):
            folders.append(path)
        elif storage.exists(path):
            yield path
        else:
            raise EvidenceError(f"{path}: no recall notices there; give the folder they come to")
    for folder in folders:
        for entry in storage.walk(folder):
            if entry.path.endswith(".json"):
                yield entry.path


def _is_certificate(path: str) -> bool:
    try:
        return Envelope.read(path, PAYLOAD_TYPE, EvidenceError) is not None
    except EvidenceError:
        return False


def _superseded(found: Verification, path: str) -> None:
    envelope = Envelope.read(path, PAYLOAD_TYPE, EvidenceError)
    if envelope and found.digest in parse_certificate(path, envelope).predicate.replaced:
        found.object(f"{path}: supersedes the certificate that lies here; get the newer one")


def _files(found: Verification, certificate: Certificate) -> dict[str, dict[str, int]]:
    """Returns the sizes of the files of each subject, by path, and notes what is amiss.

    Temporary files count as files: who trains reads what is there, not what it is called.
    """
    below = len(found.directory.rstrip("/")) + 1
    subjects = {subject.name: subject for subject in certificate.subject}
    files: dict[str, dict[str, int]] = {}
    for entry in storage.walk(found.directory, partials=True):
        name = entry.path[below:]
        owner = _owner(name, subjects)
        if owner is not None:
            files.setdefault(owner, {})[entry.path] = entry.size
        elif not _is_statement(name):
            found.object(f"{name}: extra: not in the certificate; remove it")
    for name, subject in sorted(subjects.items()):
        if subject.is_folder and not subject.annotations.size:
            files.setdefault(name, {})  # there may be nothing in it; its digest tells
        size, wanted = sum(files.get(name, {}).values()), subject.annotations.size
        if name not in files:
            found.object(f"{name}: missing, but in the certificate; get it again")
        elif size != wanted:
            found.object(f"{name}: changed: has {size} bytes, was certified with {wanted}")
            files.pop(name, None)
    return files


def _owner(name: str, subjects: Mapping[str, Subject]) -> str | None:
    if name in subjects and not subjects[name].is_folder:
        return name
    parts = name.split("/")
    for count in range(1, len(parts)):
        folder = "/".join(parts[:count])
        if folder in subjects and subjects[folder].is_folder:
            return folder
    return None


def _is_statement(name: str) -> bool:
    """Whether a file is one that the gate puts beside shards; nothing else may hide there."""
    if name == f"{FOLDER}/certificate.dsse.json":
        return True
    folder = f"{FOLDER}/recalls/"
    return name.startswith(folder) and name.count("/") == 2 and name.endswith(".dsse.json")


def _compare(
    found: Verification,
    certificate: Certificate,
    files: Mapping[str, Mapping[str, int]],
    threads: int,
    show: Any,
) -> None:
    sizes = {path: size for several in files.values() for path, size in several.items()}
    meter = Meter(sum(sizes.values()), show)
    # The largest first, so that no core is left with one at the end.
    paths = sorted(sizes, key=lambda path: (-sizes[path], path))
    digests = dict(hash_files(paths, meter, threads))
    found.files, found.bytes, found.seconds = len(paths), meter.done, meter.seconds
    for subject in certificate.subject:
        several = files.get(subject.name)
        if several is None:
            continue
        if subject.is_folder:
            root = storage.join(found.directory, subject.name)
            try:
                actual = folder_digest(root, {path: digests[path] for path in several})
            except EvidenceError as error:
                found.object(str(error))
                continue
        else:
            actual = digests[next(iter(several))]
        if actual != subject.value:
            what = "a file in it is" if subject.is_folder else "is"
            found.object(f"{subject.name}: changed: {what} not what was certified; get it again")


def verify_evidence(
    found: Verification, evidence: str, quarantine: str | None, show: Show | None = None
) -> None:
    """Compares an operator's evidence with what the certificate says of it; names what differs.

    Recall notices in it count like those in the folder, from which somebody may have taken them.

    Args:
        found: Where it is noted; needs a certificate that is believed.
        evidence: The run's evidence.
        quarantine: Its quarantine, for manifests and audit log; None: they are not looked at.
        show: Told how far it is, see `Meter`.
    """
    if found.certificate is None:
        return
    said = found.certificate.predicate.evidence
    wanted = {
        "ledger": (said.ledger_digest, storage.join(evidence, "ledger")),
        "receipts": (said.receipts_digest, storage.join(evidence, "receipts")),
    }
    if quarantine is not None and (said.manifests_digest is None or said.audit_log is None):
        found.object(
            f"{quarantine}: the certificate does not say which manifests and audit log were there; "
            "certify with --quarantine"
        )
    if quarantine is not None and said.manifests_digest is not None:
        wanted["manifests"] = (said.manifests_digest, storage.join(quarantine, "manifest"))
    for kind, (digest, root) in wanted.items():
        try:
            _compare_listing(found, kind, digest, root, evidence, show)
        except GateError as error:
            found.object(str(error))
    try:
        _recalled(found, found.certificate, _further_notices(found.directory, evidence))
    except GateError as error:
        found.object(str(error))
    if quarantine is not None and said.audit_log is not None:
        stated = AuditHead(said.audit_log.count, said.audit_log.head)
        try:
            require_head(quarantine, stated, "the certificate")
        except GateError as error:
            found.object(str(error))


def _further_notices(directory: str, evidence: str) -> Iterator[str]:
    """Yields the notices in the evidence but for those that the folder has as well."""
    there, kept = recall_folders(directory, evidence)
    for entry in storage.walk_if_there(kept):
        if not entry.path.endswith(".json"):
            continue
        copy = storage.join(there, storage.basename(entry.path))
        if not storage.exists(copy) or storage.read_bytes(copy) != storage.read_bytes(entry.path):
            yield entry.path


def _compare_listing(
    found: Verification, kind: str, digest: str, root: str, evidence: str, show: Show | None
) -> None:
    path = storage.join(evidence, "certificates", f"{found.digest}.{kind}.sha256")
    content = storage.read_bytes(path) if storage.exists(path) else b""
    if hashlib.sha256(content).hexdigest() != digest:
        found.object(f"{path}: missing or changed, is not the listing that the certificate names")
        return
    wanted = {}
    for line in content.split(b"\n")[:-1]:  # nothing else ends a line
        sha256, _, path_below = line.partition(b"  ")
        wanted[os.fsdecode(path_below)] = sha256.decode()
    entries = storage.walk_if_there(root)
    there = {entry.path[len(root.rstrip("/")) + 1 :]: entry.size for entry in entries}
    for name in sorted(set(there) ^ set(wanted)):
        what = "missing" if name in wanted else "added since it was certified"
        found.object(f"{kind}: {name}: {what}")
    both = sorted(set(there) & set(wanted))
    meter = Meter(sum(there[name] for name in both), show)
    digests = hash_files([storage.join(root, name) for name in both], meter)
    for name, (_, found_sha256) in zip(both, digests, strict=True):
        if found_sha256 != wanted[name]:
            found.object(f"{kind}: {name}: changed since it was certified")
