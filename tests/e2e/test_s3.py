"""A run on S3: Amazon's own client, and a server on this machine that speaks to it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from apache_beam.io.filesystems import FileSystems
from moto.server import ThreadedMotoServer

from ingestgate.assets import storage
from tests.e2e.conftest import CAUGHT, WRITERS, Job

MakeJob = Callable[..., Job]
_HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine is contacted."""
    connect = socket.socket.connect

    def connected(self: socket.socket, address: Any) -> None:
        assert address[0] == _HERE, f"tried to connect to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connected)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(_HERE, port=0, verbose=False)
    server.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield f"http://{_HERE}:{server.get_host_and_port()[1]}"
    server.stop()


def called(*arguments: str, **environment: str) -> dict[str, Any]:
    """Returns what a command prints, called in a process of its own."""
    program = str(Path(sys.executable).parent / "ingestgate")
    done = subprocess.run(
        [program, *arguments],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Any]:
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="bucket")
    yield client
    client.close()


@pytest.fixture
def _reached(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reaches the server, too."""
    monkeypatch.setenv("INGESTGATE_BEAM_OPTIONS", f"--s3_endpoint_url={endpoint}")
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)


@pytest.mark.usefixtures("_reached")
def test_an_object_may_be_empty(bucket: Any) -> None:
    storage.write_bytes("s3://bucket/run/empty", b"")
    assert storage.read_bytes("s3://bucket/run/empty") == b""
    (entry,) = storage.walk("s3://bucket/run")
    assert (entry.path, entry.size) == ("s3://bucket/run/empty", 0)
    assert not bucket.list_multipart_uploads(Bucket="bucket").get("Uploads")


@pytest.mark.usefixtures("_reached")
def test_what_marks_an_empty_directory_is_no_file(bucket: Any) -> None:
    for name in ("marked/", "marked/a.tar"):
        bucket.put_object(Bucket="bucket", Key=name, Body=b"")
    for pattern in ("s3://bucket/marked/*", "s3://bucket/marked/**"):
        assert [entry.path for entry in storage.match(pattern)] == ["s3://bucket/marked/a.tar"]


def test_the_same_outcome_as_on_local_paths(
    job: MakeJob, tmp_path: Path, endpoint: str, bucket: Any
) -> None:
    local = job(WRITERS["webdataset"](tmp_path / "landing"))
    local.report()
    for path in (tmp_path / "landing").iterdir():
        bucket.upload_file(str(path), "bucket", f"landing/{path.name}")
    where = ["--input", "s3://bucket/landing/*.tar"]
    for name in ("output", "quarantine", "evidence"):
        where += [f"--{name}", f"s3://bucket/run/{name}"]
    given = ("--lists", local.lists, "--recipient", local.recipient, "--workers", "1", "--json")
    report = called("run", *where, *given, "--", f"--s3_endpoint_url={endpoint}")
    assert report["counts"]["quarantined"] == len(CAUGHT)
    # What takes no options for Beam has them from the environment.
    options = {"INGESTGATE_BEAM_OPTIONS": f"--s3_endpoint_url={endpoint}"}
    assert called("census", *where, "--json", **options)["exact"]
    listed = bucket.list_objects_v2(Bucket="bucket", Prefix="run/output/")["Contents"]
    there = {each["Key"].rpartition("/")[2] for each in listed}
    assert there == {path.name for path in local.output.iterdir()}
    for name in there:
        stored = bucket.get_object(Bucket="bucket", Key=f"run/output/{name}")["Body"].read()
        assert stored == (local.output / name).read_bytes()
