"""The small records that flow between the Beam steps, each with a schema and its row coder.

References only: no record ever holds bytes of an asset, except those of the element-level
gate, whose caller put them there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam

from ingestgate.assets.asset import Asset
from ingestgate.assets.shard import Shard, WorkRange
from ingestgate.assets.verdict import Finding
from ingestgate.transforms.earlier_matches import EarlierManifest


class ShardTask(NamedTuple):
    """One shard, to be judged.

    Attributes:
        shard: The shard.
        earlier: The manifests that say what of it was quarantined before.
    """

    shard: Shard
    earlier: Sequence[EarlierManifest]


class RangeTask(NamedTuple):
    """One range of one shard, to be judged; ``earlier`` as of its shard."""

    shard: Shard
    work: WorkRange
    earlier: Sequence[EarlierManifest]


class RangeOutcome(NamedTuple):
    """What became of judging a range.

    Attributes:
        shard, work: As in the task.
        problem: Why it could not be judged, or "": its ledger part is there.
        earlier: What had been quarantined before, as its ledger part has it.
    """

    shard: Shard
    work: WorkRange
    problem: str
    earlier: str


class ShardOutcome(NamedTuple):
    """What became of a shard.

    Attributes:
        name: The shard's name.
        problem: Why it could not be committed, or "": its receipt is there.
    """

    name: str
    problem: str


class JudgedAsset(NamedTuple):
    """What the element-level gate yields, on every output.

    Attributes:
        asset: The asset as it came.
        verdict, reason, tier: The outcome (``tier`` is "" without findings).
        findings: Every match.
        md5, sha1, sha256: Hex digests of the content, "" without content.
    """

    asset: Asset
    verdict: str
    reason: str
    tier: str
    findings: Sequence[Finding]
    md5: str
    sha1: str
    sha256: str


for _record in (
    Asset,
    Finding,
    Shard,
    WorkRange,
    EarlierManifest,
    ShardTask,
    RangeTask,
    RangeOutcome,
    ShardOutcome,
    JudgedAsset,
):
    beam.coders.registry.register_coder(_record, beam.coders.RowCoder)

__all__ = [
    "Asset",
    "EarlierManifest",
    "Finding",
    "JudgedAsset",
    "RangeOutcome",
    "RangeTask",
    "Shard",
    "ShardOutcome",
    "ShardTask",
    "WorkRange",
]
