import logging

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.testing import test_pipeline, test_stream
from apache_beam.testing.util import assert_that, equal_to

from ingestgate.assets.errors import ListError, PolicyError
from ingestgate.transforms.gate import Gate
from ingestgate.transforms.records import Asset, JudgedAsset
from tests.pictures import jpeg
from tests.transforms.conftest import LISTED_EXACT, LISTED_NEAR

ASSETS = [
    Asset("clean", jpeg(100), {"url": "https://fine.example/a.jpg"}),
    Asset("exact", jpeg(LISTED_EXACT), {}),
    Asset("near", jpeg(LISTED_NEAR, quality=60), {}),
    Asset("source", jpeg(101), {"page_url": "https://www.listed.example/"}),
    Asset("url only", None, {"url": "https://fine.example/b.jpg"}),
    Asset("broken", b"not a picture", {}),
    Asset("nothing", None, {}),
]
EXPECTED = {
    "admitted": [("clean", "clean"), ("url only", "clean")],
    "quarantined": [("exact", "matched"), ("near", "matched"), ("source", "matched")],
    "unscannable": [("broken", "unsupported_media"), ("nothing", "nothing_to_check")],
}


def _check(judged: dict[str, beam.PCollection[JudgedAsset]]) -> None:
    for name, expected in EXPECTED.items():
        said = judged[name] | f"{name} reasons" >> beam.Map(lambda j: (j.asset.asset_id, j.reason))
        assert_that(said, equal_to(expected), label=f"check {name}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_batch(lists: str) -> None:
    with test_pipeline.TestPipeline("FnApiRunner") as pipeline:
        _check(pipeline | beam.Create(ASSETS).with_output_types(Asset) | Gate(lists))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_unbounded_stream(lists: str) -> None:
    options = PipelineOptions()
    options.view_as(StandardOptions).streaming = True
    stream = test_stream.TestStream(coder=beam.coders.registry.get_coder(Asset))
    for number, asset in enumerate(ASSETS):
        stream = stream.advance_watermark_to(number).add_elements([asset])
    stream = stream.advance_watermark_to_infinity()
    # Of the local runners, this one knows test streams.
    with test_pipeline.TestPipeline("BundleBasedDirectRunner", options=options) as pipeline:
        _check(pipeline | stream.with_output_types(Asset) | Gate(lists))


def test_outputs_have_a_schema_and_no_fallback_coder(
    lists: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    with caplog.at_level(logging.WARNING):
        judged = pipeline | beam.Create(ASSETS).with_output_types(Asset) | Gate(lists)
        pipeline.to_runner_api()
    assert "fallback" not in caplog.text.lower()
    for output in judged.values():
        assert output.element_type is JudgedAsset
        assert isinstance(beam.coders.registry.get_coder(output.element_type), beam.coders.RowCoder)


def test_a_job_with_refused_lists_never_starts(tmp_path: object) -> None:
    with pytest.raises(ListError, match="no compiled list"):
        Gate(str(tmp_path))


def test_a_mapping_that_is_no_policy_is_refused(lists: str) -> None:
    with pytest.raises(PolicyError, match="require_sauce"):
        Gate(lists, policy={"require_sauce": True})
