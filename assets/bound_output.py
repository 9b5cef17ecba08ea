"""The one output that an evidence folder tells of.

Receipts and ledgers name shards, not where these were let into. Evidence of two outputs would tell
of a shard what became of it in one of them, and a rescan pass over what lies in the other.
"""

import json

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, UsageError


def bound_path(evidence: str) -> str:
    """Returns where it stands which output an evidence folder is of."""
    return storage.join(evidence, "output.json")


def bound_output(evidence: str) -> str | None:
    """Returns the root that everything was let into; None before the first run that lets in.

    Raises:
        EvidenceError: What says it is damaged.
        StorageError: It cannot be read.
    """
    path = bound_path(evidence)
    if not storage.exists(path):
        return None
    try:
        output = json.loads(storage.read_bytes(path))["output"]
    except (ValueError, TypeError, KeyError, RecursionError):
        output = None
    if not isinstance(output, str):
        raise EvidenceError(
            f"{path}: damaged; put it back, or remove it if there never was but one output"
        )
    return output


def require_output(evidence: str, output: str) -> None:
    """Refuses another output than the one the evidence is of, as long as that one is there.

    Raises:
        UsageError: It is another.
    """
    bound = bound_output(evidence)
    same = bound is not None and storage.resolved(bound) == storage.resolved(output)
    if bound is None or same or not storage.is_there(bound):
        return
    raise UsageError(
        f"{evidence}: is the evidence of {bound}, and tells of no other output; give that, or an "
        f"--evidence of its own for {output}; if both are copies, remove {bound_path(evidence)}"
    )


def bind_output(evidence: str, output: str) -> None:
    """Puts on record, durably, into which output shards are let from now on.

    Raises:
        StorageError: It cannot be written.
    """
    if bound_output(evidence) != output:
        content = json.dumps({"output": output}).encode() + b"\n"
        storage.write_bytes(bound_path(evidence), content, private=True)
