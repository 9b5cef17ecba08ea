"""By which options of Beam's remote paths are reached."""

import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import S3Options

from ingestgate.assets.errors import UsageError
from ingestgate.assets.storage import beam_options, use_beam_options
from ingestgate.assets.storage.remote import BEAM_OPTIONS, filesystems


@pytest.fixture(autouse=True)
def _none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)


def endpoint() -> str:
    options = FileSystems._pipeline_options
    assert options is not None
    found: str = options.view_as(S3Options).s3_endpoint_url
    return found


def test_nobody_has_to_set_any() -> None:
    assert filesystems("s3://b/a") is FileSystems
    assert endpoint() is None


def test_the_environments_and_then_those_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BEAM_OPTIONS, "--s3_endpoint_url='http://one' --s3_region_name=x")
    filesystems("s3://b/a")
    assert endpoint() == "http://one"
    use_beam_options(["--s3_endpoint_url=http://two"])
    filesystems("s3://b/a")
    assert endpoint() == "http://two"
    assert beam_options(["--s3_verify=x"])[1:] == ["--s3_region_name=x", "--s3_verify=x"]


def test_those_that_a_job_has_set_stay() -> None:
    use_beam_options(["--s3_endpoint_url=http://one"])
    filesystems("s3://b/a")
    assert endpoint() == "http://one"


def test_a_quote_that_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BEAM_OPTIONS, "--s3_endpoint_url='http://one")
    with pytest.raises(UsageError, match="INGESTGATE_BEAM_OPTIONS: No closing quotation"):
        filesystems("s3://b/a")
