"""What a person does by a command goes on record first; whoever it is, once people are known."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ingestgate.assets.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ingestgate.quarantine.audit import AuditLine

#: What is on record of an act as long as the log knows nobody: that it was done, by whomever.
NAMELESS = {"asset.opened": "vault.opened"}


def put_on_record(root: str, event: str, fields: Mapping[str, Any], path: str | None) -> None:
    """Appends what a person is about to do, or has done, to a quarantine's audit log.

    As long as the log knows nobody, acts that are a person's alone leave no line, unless a key is
    given (which then is nobody's, and refused).

    Args:
        root: The quarantine.
        event: One of `reviewers.NEEDED`.
        fields: What the line says.
        path: Of the person's private signing key, or None.

    Raises:
        UsageError: There is no such quarantine, people are known and no key was given, or the
            key's holder may not do it.
        EvidenceError: The log is gone, or does not hold.
        StorageError: It cannot be written; then the act must not go on.
    """
    from ingestgate.quarantine.audit import read_log
    from ingestgate.quarantine.audit_writing import audit_writer
    from ingestgate.quarantine.presence import require_log
    from ingestgate.quarantine.reviewers import UNTIL_KNOWN, Registry, act

    require_log(root)  # without it nobody is known, and a new one would hold
    anybody = event in UNTIL_KNOWN or event in NAMELESS
    if path is None and not anybody:  # nothing to write: who may only read can look, too
        permitted(read_log(root), event, None)
        return
    with audit_writer(root) as writer:
        key = permitted(writer.lines, event, path)
        if anybody and not Registry(writer.lines).people:
            writer.add(NAMELESS.get(event, event), fields, key)
        elif key is not None:
            act(writer, event, fields, key)


def permitted(
    lines: "Iterable[AuditLine]", event: str, path: str | None
) -> "Ed25519PrivateKey | None":
    """Returns the key in a file, None without one, if its holder may do what an event says.

    Args:
        lines: The audit log.
        event: What they are about to do.
        path: As of `put_on_record`.

    Raises:
        UsageError: As `put_on_record` does.
    """
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.reviewers import NEEDED, Registry

    key = read_signing_key(path) if path else None
    known = Registry(lines)
    if known.people:
        if key is None:
            raise UsageError("the audit log knows people: name your signing key with --key")
        known.holder(key, NEEDED[event])
    return key
