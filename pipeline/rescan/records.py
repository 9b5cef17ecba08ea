"""Records of rescans: ``rescans/<id>.json`` in the evidence.

A rescan holds the fingerprints in the ledger against newer lists, without touching an asset. Its
record says, shard by shard, which ledger it looked at and how much it found: a certificate may call
a shard checked against the newer lists only while its ledger is that one, and nothing was found.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, StorageError
from ingestgate.assets.verdict import Verdict
from ingestgate.pipeline.certificate.statements import ListException, ListUse, SuppressionUse

RESCAN_VERSION = 1
#: In a record's tallies: assets that matched and that no earlier rescan had matched.
NEWLY_MATCHED = "newly_matched"
#: In a record's tallies: assets held against lists, which those in the quarantine were not.
COMPARED = "compared"


def _with_zone(time: str) -> str:
    if datetime.fromisoformat(time).tzinfo is None:
        raise ValueError("a time without a zone")
    return time


#: RFC 3339, as text.
Time = Annotated[str, AfterValidator(_with_zone)]


class _Shard(BaseModel):
    model_config = ConfigDict(strict=True)

    ledger: str
    matched: int
    held: int = 0
    context: str
    suppressions: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class RescanRecord:
    """One rescan.

    Attributes:
        id: Its name; letters, digits, ``-``, ``_`` and ``.``.
        lists: ``{id, version, digest}`` of each list, and whatever else is to be said of it.
        lists_digest: As `ListSet.digest`.
        rows: Ledger rows looked at.
        matched: Assets that matched now and were admitted before.
        shards: By shard, ``{ledger, matched, held, context, suppressions}``: `shard_ledger_digest`
            of what was looked at, how many of its admitted assets matched or have to be judged
            again, how many unscannable ones matched or quarantined ones suppressions let pass by
            now, the digest of the rules that it was held against, and by suppression how many
            assets it let pass.
        started_at, ended_at: RFC 3339 UTC times.
        tallies: Counts for reports, `NEWLY_MATCHED` and `COMPARED` among them.
        suppressions: Those in force, as `Suppression.described`.
        exceptions: By which expired lists were used, as `Exemption.described`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    lists: Sequence[Mapping[str, Any]]
    lists_digest: str
    rows: int
    matched: int
    shards: Mapping[str, Mapping[str, Any]]
    started_at: Time
    ended_at: Time
    tallies: Mapping[str, int]
    suppressions: Sequence[Mapping[str, Any]] = ()
    exceptions: Sequence[Mapping[str, Any]] = ()

    @property
    def newly_matched(self) -> int:
        """How many of those matched no earlier rescan had matched."""
        return self.tallies.get(NEWLY_MATCHED, self.matched)

    @property
    def compared(self) -> int:
        """How many assets were held against lists; of an older record, all that it looked at."""
        return self.tallies.get(COMPARED, self.rows)

    def covers(self, shard: str, ledger_digest: str, context: str) -> bool:
        """Whether nothing was found in a shard, its ledger being this one, by these rules.

        The lists alone do not tell: a policy may have made one of them only observe.
        """
        found = self.shards.get(shard, {})
        return self.is_of(shard, ledger_digest, context) and found.get("matched") == 0

    def settles(self, shard: str, ledger_digest: str, context: str) -> bool:
        """Whether judging a shard anew by these rules would change nothing in it.

        What is held may match, too: it is not in the output, but it belongs into the quarantine.
        """
        found = self.shards.get(shard, {})
        return self.covers(shard, ledger_digest, context) and found.get("held") == 0

    def is_of(self, shard: str, ledger_digest: str, context: str) -> bool:
        """Whether it held a shard, its ledger being this one, against these rules."""
        found = self.shards.get(shard, {})
        return (found.get("ledger"), found.get("context")) == (ledger_digest, context)


def rescan_path(evidence: str, id: str) -> str:
    """Returns where the record of a rescan lies."""
    return storage.join(evidence, "rescans", f"{id}.json")


def findings_path(evidence: str, id: str) -> str:
    """Returns where it lies what a rescan found, by asset, as JSONL; confidential."""
    return storage.join(evidence, "rescan-findings", f"{id}.jsonl")


def found_before(evidence: str) -> set[tuple[str, str]]:
    """Returns shard and id of the admitted assets that rescans on record have matched so far.

    Raises:
        EvidenceError: A record or findings are damaged.
    """
    found: set[tuple[str, str]] = set()
    for record in read_rescans(evidence):
        path = findings_path(evidence, record.id)
        if not record.matched or not storage.exists(path):
            continue  # nothing, or removed: who removes them has them counted anew
        try:
            lines = [json.loads(line) for line in storage.read_bytes(path).splitlines()]
            found |= {(one["shard"], one["asset_id"]) for one in lines if _is_match(one)}
        except (ValueError, TypeError, KeyError):
            raise EvidenceError(f"{path}: not the findings of a rescan; remove it") from None
    return found


def _is_match(finding: Mapping[str, Any]) -> bool:
    """Whether findings say that an admitted asset matched, or has to be judged again."""
    if "judge_again" in finding:
        return True
    return bool(finding["quarantines"] and finding["verdict"] == Verdict.ADMITTED)


def write_rescan(evidence: str, record: RescanRecord) -> None:
    """Writes the record of a rescan that ended well."""
    content = json.dumps({"version": RESCAN_VERSION, **asdict(record)}, indent=1, sort_keys=True)
    storage.write_bytes(rescan_path(evidence, record.id), content.encode(), private=True)


def read_rescans(evidence: str) -> list[RescanRecord]:
    """Returns every rescan on record, the latest first.

    Raises:
        EvidenceError: A record is damaged.
    """
    folder = storage.join(evidence, "rescans")
    entries = storage.walk_if_there(folder)
    found = []
    for entry in entries:
        try:
            content = json.loads(storage.read_bytes(entry.path))
            if content.pop("version") != RESCAN_VERSION:
                raise EvidenceError(f"{entry.path}: of a version this program does not know")
            found.append(_checked(content))
        except (StorageError, ValueError, TypeError, KeyError, AttributeError):
            raise EvidenceError(
                f"{entry.path}: not the record of a rescan; rescan again and remove it"
            ) from None
    return sorted(found, key=lambda record: (record.ended_at, record.id), reverse=True)


_RECORD: Final = TypeAdapter(RescanRecord)


def _checked(content: object) -> RescanRecord:
    """Returns a record, once what others read in it is as they need it."""
    record = _RECORD.validate_python(content)
    for shard in record.shards.values():
        _Shard.model_validate(shard)
    for one in record.lists:
        ListUse.model_validate(one)
        _with_zone(one.get("issued", record.ended_at))
    for one in record.exceptions:
        _with_zone(ListException.model_validate(one).until)
    for one in record.suppressions:
        SuppressionUse.model_validate({**one, "assets": 0})
    return record
