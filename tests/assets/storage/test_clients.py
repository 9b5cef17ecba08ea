"""What of Beam's file system for S3 is mended."""

from pathlib import Path

import pytest
from apache_beam.io.aws.s3io import S3IO
from apache_beam.options.pipeline_options import PipelineOptions

from ingestgate.assets import storage
from ingestgate.assets.errors import StorageError
from ingestgate.assets.storage.clients import mend_s3


def test_without_credentials_nobody_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match=r"^s3://bucket/a: .*no credentials for S3; say where"):
        storage.exists("s3://bucket/a")


def test_calls_by_the_same_options_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    mend_s3()
    here, there = (
        PipelineOptions([f"--s3_endpoint_url=http://127.0.0.1:{port}"]) for port in (1, 2)
    )
    first, second, other = S3IO(options=here), S3IO(options=here), S3IO(options=there)
    # What is being read through it is each call's own.
    assert first.client is not second.client
    assert first.client.client is second.client.client
    assert first.client.client is not other.client.client
    assert other.client.client.meta.endpoint_url == "http://127.0.0.1:2"
