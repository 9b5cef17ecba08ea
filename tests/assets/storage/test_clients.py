"""One client of Amazon's in a process, not one a call."""

import pytest
from apache_beam.io.aws.s3io import S3IO
from apache_beam.options.pipeline_options import PipelineOptions

from ingestgate.assets.storage.clients import share_s3_clients


def test_calls_by_the_same_options_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    share_s3_clients()
    here, there = (
        PipelineOptions([f"--s3_endpoint_url=http://127.0.0.1:{port}"]) for port in (1, 2)
    )
    first, second, other = S3IO(options=here), S3IO(options=here), S3IO(options=there)
    # What is being read through it is each call's own.
    assert first.client is not second.client
    assert first.client.client is second.client.client
    assert first.client.client is not other.client.client
    assert other.client.client.meta.endpoint_url == "http://127.0.0.1:2"
