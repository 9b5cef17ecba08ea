"""The graph carries references only, each with a coder of its own."""

import logging
from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from ingestgate.assets.shard import Shard, WorkRange
from ingestgate.pipeline.graph import build
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.records import (
    EarlierManifest,
    RangeOutcome,
    RangeTask,
    ShardOutcome,
    ShardTask,
)
from ingestgate.transforms.settings import RunSettings

SETTINGS = RunSettings(
    policy=Policy(),
    lists="/lists",
    lists_digest="00",
    output="/output",
    quarantine="/quarantine",
    evidence="/evidence",
    dataset="/landing/*.tar",
    recipients=("age1",),
    progress="",
    software="0",
)
SHARD = Shard("a/0.tar", "/landing/a/0.tar", "img2dataset", 10, "id", ("/landing/a/0.parquet",))


def _proto() -> beam_runner_api_pb2.Pipeline:
    pipeline = beam.Pipeline("FnApiRunner")
    build(pipeline, [SHARD], SETTINGS, {})
    return pipeline.to_runner_api()


def test_no_step_falls_back_to_pickling(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        proto = _proto()
    assert "fallback" not in caplog.text.lower()
    urns = {coder.spec.urn for coder in proto.components.coders.values()}
    names = {pc.unique_name for pc in proto.components.pcollections.values()}
    assert any("Judge" in name for name in names)
    assert "beam:coder:row:v1" in urns
    assert not {
        pc.unique_name
        for pc in proto.components.pcollections.values()
        if "pickled" in str(_urns(proto, pc.coder_id))
    }


def _urns(proto: beam_runner_api_pb2.Pipeline, coder_id: str) -> list[str]:
    """Returns what a coder is made of."""
    coder = proto.components.coders[coder_id]
    parts = [urn for each in coder.component_coder_ids for urn in _urns(proto, each)]
    return [coder.spec.urn, *parts]


@pytest.mark.parametrize(
    "record",
    [
        SHARD,
        ShardTask(SHARD, (EarlierManifest("m", "1f" * 32),)),
        RangeTask(SHARD, WorkRange(0, 2, 0, 512, 3), (EarlierManifest("m", ""),)),
        RangeOutcome(SHARD, WorkRange(1, 2, 512, 1024), "truncated", "1f" * 32),
        ShardOutcome("a/0.tar", ""),
    ],
)
def test_records_survive_their_coder_and_are_small(record: tuple[object, ...]) -> None:
    coder = beam.coders.registry.get_coder(type(record))
    assert isinstance(coder, beam.coders.RowCoder)
    assert coder.is_deterministic()
    encoded = coder.encode(record)
    assert len(encoded) < 1000
    decoded = coder.decode(encoded)
    assert type(decoded) is type(record)
    assert repr(decoded).replace("[", "(").replace("]", ",)") == repr(record)


def test_settings_hold_nothing_that_opens_the_vault() -> None:
    import pickle

    raw = pickle.dumps(replace(SETTINGS, recipients=("age1public",)))
    assert b"age1public" in raw
    assert b"AGE-SECRET-KEY" not in raw
