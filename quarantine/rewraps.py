"""On record: whom a quarantine is sealed to by now, and how far a rewrapping has come.

The audit log says both; files say nothing that it does not. ``recipients.json`` is for people: a
statement of what the log's lines come to. While a rewrapping goes on, ``rewrapping/<sha256>.json``
says what each key file of a batch is about to become, and what each has become says
``rewrapped/<sha256>.json``; the log names each of these by its digest.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, UsageError, VaultError
from ingestgate.quarantine.audit import AuditLine, read_log

STATEMENT: Final = "recipients.json"
#: Events of the audit log. `ANNOUNCED` names what a batch of key files is about to become; `DONE`
#: the record of what each key file is since, and who lost access by it.
BEGUN: Final = "vault.rewrap_begun"
ANNOUNCED: Final = "vault.rewrap_announced"
DONE: Final = "vault.rewrap_done"
_FOLDER = "rewrapping"
_RECORDS = "rewrapped"
_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Access(NamedTuple):
    """Who can open a quarantine, by its audit log.

    Attributes:
        recipients: Whom all of it was sealed to last; none as long as it was never rewrapped.
        retired: Who lost access by that, and has not got it back.
        known: Everybody that a rewrapping has let in, be it on some samples.
        rewraps: What `STATEMENT` says of each rewrapping.
    """

    recipients: tuple[str, ...]
    retired: frozenset[str]
    known: frozenset[str]
    rewraps: tuple[Mapping[str, Any], ...]


def access(lines: Iterable[AuditLine]) -> Access:
    """Returns who can open a quarantine, by the lines of its log from the first."""
    found = Access((), frozenset(), frozenset(), ())
    for line in lines:
        if line.event != DONE or line.fields.get("record") is None:
            continue
        to, samples = _about(line.fields)
        said = {
            "rewrapped_at": line.time,
            "recipients": list(to),
            "samples": None if samples is None else sorted(samples),
            "keys": line.fields.get("keys"),
            "unopened": line.fields.get("unopened"),
        }
        known, rewraps = found.known | set(to), (*found.rewraps, said)
        if samples is None:
            lost = found.retired | found.known | set(_texts(line.fields.get("retired")))
            found = Access(to, lost - set(to), known, rewraps)
        else:
            found = found._replace(known=known, rewraps=rewraps)
    return found


def require_access(root: str, recipients: Collection[str]) -> None:
    """Refuses recipients who lost access, whatever `STATEMENT` says.

    Raises:
        UsageError: One did.
        EvidenceError: The audit log does not hold.
        StorageError: It cannot be read.
    """
    refuse(recipients, access(read_log(root)).retired)


def refuse(recipients: Collection[str], retired: Collection[str]) -> None:
    """Raises UsageError if one of some recipients is retired."""
    if gone := set(recipients) & set(retired):
        raise UsageError(
            f"{', '.join(sorted(gone))}: can no longer open this quarantine since its keys "
            "were sealed anew; seal to those in its recipients.json"
        )


def statement(root: str) -> dict[str, Any]:
    """Returns what `STATEMENT` says: ``recipients``, ``retired``, ``rewraps``; empty without one.

    Raises:
        VaultError: It is damaged.
        StorageError: It cannot be read.
    """
    path = storage.join(root, STATEMENT)
    if not storage.exists(path):
        return {"version": _VERSION, "recipients": [], "retired": [], "rewraps": []}
    try:
        found = dict(json.loads(storage.read_bytes(path)))
    except (ValueError, TypeError):
        found = {}
    lists = (found.get(name) for name in ("recipients", "retired", "rewraps"))
    if found.get("version") != _VERSION or not all(isinstance(each, list) for each in lists):
        raise VaultError(f"{path}: damaged; restore it from a backup")
    return found


def retired(root: str) -> list[str]:
    """Returns whom `STATEMENT` says a rewrapping took access from; raises as it does."""
    return [str(each) for each in statement(root)["retired"]]


def problem_of_statement(root: str, said: Access) -> str:
    """Returns what is wrong with `STATEMENT`, held against the audit log; "" for nothing.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        there = statement(root)
    except VaultError as error:
        return str(error)
    if (sorted(there["recipients"]), sorted(there["retired"])) == (
        sorted(said.recipients),
        sorted(said.retired),
    ):
        return ""
    return (
        f"{STATEMENT}: is not there, or says something else than the audit log of whom the "
        "quarantine is sealed to; restore it, or rewrap to the same recipients"
    )


def write_statement(root: str, said: Access) -> None:
    """Writes `STATEMENT`."""
    content = {
        "version": _VERSION,
        "recipients": list(said.recipients),
        "retired": sorted(said.retired),
        "rewraps": list(said.rewraps),
    }
    encoded = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
    storage.write_bytes(storage.join(root, STATEMENT), encoded, private=True)


class Unfinished(NamedTuple):
    """A rewrapping that has announced what key files become, and did not come to its end.

    Attributes:
        recipients, samples: What it was begun with; samples None for all.
        announcements: Digests of what it has announced.
    """

    recipients: tuple[str, ...]
    samples: frozenset[str] | None
    announcements: tuple[str, ...]

    def is_part_of(self, recipients: Iterable[str], samples: frozenset[str] | None) -> bool:
        """Whether another one does all of it, and more; samples None for all."""
        return (
            set(self.recipients) == set(recipients)
            and self.samples is not None
            and (samples is None or self.samples < samples)
        )

    def require_same(self, recipients: Iterable[str], samples: frozenset[str] | None) -> None:
        """Refuses another one before this is finished, by raising UsageError."""
        if (set(self.recipients), self.samples) != (set(recipients), samples):
            raise UsageError(
                f"a rewrapping to {', '.join(self.recipients)} is unfinished; "
                "finish it first, with the same recipients and either the same assets or all"
            )


def unfinished(lines: Iterable[AuditLine]) -> Unfinished | None:
    """Returns the rewrapping that the lines of a log have begun and not ended, if there is one.

    One that announced nothing has changed nothing, and is none.
    """
    about: tuple[tuple[str, ...], frozenset[str] | None] = (), None
    announced: list[str] = []
    for line in lines:
        if line.event == BEGUN and not announced:
            about = _about(line.fields)
        elif line.event == ANNOUNCED:
            announced.append(str(line.fields.get("announcement")))
        elif line.event == DONE:
            announced.clear()
    return Unfinished(*about, tuple(announced)) if announced else None


def announce(root: str, digests: Mapping[str, str]) -> str:
    """Says, durably, which digest each key file is about to have; returns what to log of it.

    It counts only once the log has it; before that, no key file may be replaced.
    """
    return _write(root, _FOLDER, digests)


def announced(root: str, found: Unfinished | None) -> dict[str, set[str]]:
    """Returns the digests that each key file may have got in an earlier try, by its path.

    Raises:
        EvidenceError: What was announced is not there as it was.
        StorageError: It cannot be read.
    """
    digests: dict[str, set[str]] = {}
    for sha256 in found.announcements if found else ():
        for path, digest in _read(root, _FOLDER, sha256).items():
            digests.setdefault(path, set()).add(digest)
    return digests


def forget(root: str) -> None:
    """Removes what was announced, once it is done with."""
    storage.delete_tree(storage.join(root, _FOLDER))


def record_path(sha256: str) -> str:
    """Returns where, below the root, the record of a rewrapping lies."""
    return f"{_RECORDS}/{sha256}.json"


def write_record(root: str, digests: Mapping[str, str]) -> str:
    """Puts the digest of each key file on record, by its path; returns the record's own."""
    return _write(root, _RECORDS, digests)


def read_record(root: str, sha256: str) -> dict[str, str]:
    """Returns the digests that a record has.

    Raises:
        EvidenceError: It is not there, or not the one of that digest.
        StorageError: It cannot be read.
    """
    return _read(root, _RECORDS, sha256)


def records(lines: Iterable[AuditLine]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yields the digest of each record that the lines of a log name, and whom it sealed to."""
    for line in lines:
        if line.event == DONE and line.fields.get("record") is not None:
            yield str(line.fields["record"]), frozenset(_about(line.fields)[0])


def _write(root: str, folder: str, digests: Mapping[str, str]) -> str:
    content = json.dumps(digests, indent=1, sort_keys=True).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    storage.write_bytes(storage.join(root, folder, f"{sha256}.json"), content, private=True)
    return sha256


def _read(root: str, folder: str, sha256: str) -> dict[str, str]:
    path = storage.join(root, folder, f"{sha256}.json")
    if not _SHA256.fullmatch(sha256) or not storage.exists(path):
        raise EvidenceError(f"{path}: is not there; it says what key files were sealed anew")
    content = storage.read_bytes(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EvidenceError(f"{path}: was changed; it says what key files were sealed anew")
    found: dict[str, str] = json.loads(content)
    return found


def _about(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], frozenset[str] | None]:
    """Returns the recipients and samples that a line names; None for all samples."""
    samples = fields.get("samples")
    some = frozenset(_texts(samples)) if isinstance(samples, list) else None
    return _texts(fields.get("recipients")), some


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in values) if isinstance(values, list) else ()
