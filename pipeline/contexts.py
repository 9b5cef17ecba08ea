"""What a context digest stands for, kept with the evidence: ``contexts/<digest>.json``.

Ledger and receipts name the rules they were made by as one digest. The record beside them says
which these were, so that a certificate can be made later and elsewhere. What decides a verdict in
it is proved by the digest itself; the rest (exceptions, partners) is the run's word.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, StorageError
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.suppressions import Suppressions, suppressions_digest
from ingestgate.transforms.canaries import not_looked_for
from ingestgate.transforms.policy import ListTrust, Policy
from ingestgate.transforms.settings import JUDGING_VERSION, RunSettings, digest_of_rules

CONTEXT_VERSION = 2


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """The rules behind one context digest.

    Attributes:
        context: The digest.
        judging_version: Version of the judging.
        policy: The policy, without whose signatures lists need, which decides no verdict.
        lists: ``{id, version, digest, partner, issued, expires, action, signal_types, canaries}``
            of each list used; ``action`` is what a match did, ``canaries`` are the signal types
            whose canary every judge had to catch.
        exceptions: Expired lists that were used by exception so far.
        suppressions: Those in force, as `Suppression.described`.
    """

    context: str
    judging_version: int
    policy: Mapping[str, Any]
    lists: Sequence[Mapping[str, Any]]
    exceptions: Sequence[Mapping[str, Any]]
    suppressions: Sequence[Mapping[str, Any]] = ()

    @property
    def policy_digest(self) -> str:
        """Hex digest of the policy."""
        text = json.dumps(self.policy, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def not_searched(self) -> frozenset[str]:
        """Signal types that the policy had nothing looked for by."""
        return not_looked_for(Policy(url_columns=self.policy.get("url_columns", ())))

    @property
    def lists_digest(self) -> str:
        """Hex digest of the set of lists."""
        return lists_digest(self.lists)

    def computed(self) -> str:
        """Returns the context digest that these rules have."""
        named = suppressions_digest((one["id"], one["digest"]) for one in self.suppressions)
        return digest_of_rules(self.judging_version, self.policy_digest, self.lists_digest, named)


def lists_digest(lists: Sequence[Mapping[str, Any]]) -> str:
    """Returns the digest of a set of lists, as `ListSet.digest`, from ids, versions, digests."""
    ordered = sorted(lists, key=lambda used: used["id"])
    lines = "".join(f"{used['id']} {used['version']} {used['digest']}\n" for used in ordered)
    return hashlib.sha256(lines.encode()).hexdigest()


def context_path(evidence: str, context: str) -> str:
    """Returns where the record of a context lies."""
    return storage.join(evidence, "contexts", f"{context}.json")


def record_context(settings: RunSettings, lists: ListSet, suppressions: Suppressions) -> None:
    """Writes the record of a run's rules; adds to what is there of exceptions.

    Raises:
        StorageError: It could not be written.
    """
    try:
        before = read_context(settings.evidence, settings.context)
    except EvidenceError:
        before = None  # what proves itself is written anew
    policy = settings.policy.model_copy(update={"trust": ListTrust()})
    exceptions = [one.described() for one in lists.exemptions.values()]
    record = ContextRecord(
        context=settings.context,
        judging_version=JUDGING_VERSION,
        policy=policy.model_dump(mode="json"),
        lists=[
            {
                "id": info.id,
                "version": info.version,
                "digest": info.digest,
                "partner": info.partner,
                "issued": info.issued.isoformat(),
                "expires": None if info.expires is None else info.expires.isoformat(),
                "action": info.action.value,
                "signal_types": sorted(info.counts),
                "canaries": sorted(info.canaries.keys() - not_looked_for(settings.policy)),
            }
            for info in lists.infos
        ],
        exceptions=united(before.exceptions if before else (), exceptions),
        suppressions=[one.described() for one in suppressions.in_force],
    )
    if record != before:
        content = json.dumps({"version": CONTEXT_VERSION, **asdict(record)}, indent=1)
        path = context_path(settings.evidence, settings.context)
        storage.write_bytes(path, content.encode(), private=True)


def united(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Returns exceptions that were used at one time or another, each once, in one order."""
    found = {json.dumps(dict(one), sort_keys=True): dict(one) for one in (*before, *now)}
    return [found[key] for key in sorted(found)]


def read_context(evidence: str, context: str) -> ContextRecord | None:
    """Returns the record of a context; None if there is none.

    Raises:
        EvidenceError: It is damaged, or not of these rules.
    """
    path = context_path(evidence, context)
    if not storage.exists(path):
        return None
    try:
        content = json.loads(storage.read_bytes(path))
        if content.pop("version") != CONTEXT_VERSION:
            raise EvidenceError(f"{path}: of a version this program does not know")
        record = ContextRecord(**content)
        computed = record.computed()
    except (StorageError, ValueError, TypeError, KeyError, AttributeError):
        raise EvidenceError(f"{path}: not the record of a run's rules; run again") from None
    if computed != context or record.context != context:
        raise EvidenceError(f"{path}: not of the rules it is named for; run again")
    return record
