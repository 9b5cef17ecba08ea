"""The job as a Beam graph: cut, judge, and one commit per shard. References only."""

from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.typehints import KV

from ingestgate.assets.shard import Shard
from ingestgate.transforms.commit import CommitShard
from ingestgate.transforms.judge import CutShard, JudgeRange
from ingestgate.transforms.records import (
    EarlierManifest,
    RangeOutcome,
    RangeTask,
    ShardOutcome,
    ShardTask,
)
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
    tasks = [ShardTask(shard, earlier.get(shard.name, ())) for shard in shards]
    cut = (
        pipeline
        | "Shards" >> beam.Create(tasks).with_output_types(ShardTask)
        | "Cut" >> beam.ParDo(CutShard(settings)).with_outputs(CutShard.FAILED, main="tasks")
    )
    judged = (
        cut.tasks
        # A key that follows from the task, so that a retry groups as before.
        | "Key by range"
        >> beam.Map(lambda task: (f"{task.shard.name}#{task.work.number}", task))
        .with_input_types(RangeTask)
        .with_output_types(KV[str, RangeTask])
        | "Spread" >> beam.GroupByKey()
        | "Tasks" >> beam.FlatMap(lambda item: item[1]).with_output_types(RangeTask)
        | "Judge" >> beam.ParDo(JudgeRange(settings)).with_output_types(RangeOutcome)
    )
    (
        (judged, cut[CutShard.FAILED])
        | "Outcomes" >> beam.Flatten()
        | "Key by shard"
        >> beam.Map(lambda outcome: (outcome.shard.name, outcome))
        .with_input_types(RangeOutcome)
        .with_output_types(KV[str, RangeOutcome])
        | "Wait for every range" >> beam.GroupByKey()
        | "Commit" >> beam.ParDo(CommitShard(settings)).with_output_types(ShardOutcome)
    )
