"""The job as a Beam graph: cut, judge, and one commit per shard. References only."""

from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.typehints import KV

from ingestgate.assets.shard import Shard
from ingestgate.transforms.commit import CommitShard
from ingestgate.transforms.judge import CutShard, JudgeRange
from ingestgate.transforms.records import EarlierManifest, ShardTask
from ingestgate.transforms.settings import RunSettings


def build(
    pipeline: beam.Pipeline,
    shards: Sequence[Shard],
    settings: RunSettings,
    earlier: Mapping[str, Sequence[EarlierManifest]],
) -> None:
    """Adds the job to a pipeline.

    Args:
        pipeline: An empty pipeline.
        shards: The shards to do.
        settings: The run's settings.
        earlier: The manifests of what was sealed of them before, by the shards' names.
    """
    # Each is grouped by a key of its own, so that any worker may take it up from there. As the
    # key follows from the task, a retry groups as the first try did.
    tasks = [(shard.name, ShardTask(shard, earlier.get(shard.name, ()))) for shard in shards]
    cut = (
        pipeline
        | "Shards" >> beam.Create(tasks, reshuffle=False).with_output_types(KV[str, ShardTask])
        | "Spread shards" >> beam.GroupByKey()
        | "Cut" >> beam.ParDo(CutShard(settings)).with_outputs(CutShard.FAILED, main="ranges")
    )
    judged = (
        cut.ranges
        | "Spread ranges" >> beam.GroupByKey()
        | "Judge" >> beam.ParDo(JudgeRange(settings))
    )
    (
        (judged, cut[CutShard.FAILED])
        | "Outcomes" >> beam.Flatten()
        | "Wait for every range" >> beam.GroupByKey()
        | "Commit" >> beam.ParDo(CommitShard(settings))
    )
