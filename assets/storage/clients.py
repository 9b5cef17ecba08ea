"""What Beam's file system for S3 does not do well, done.

It makes Amazon's client anew for every call. Making one reads descriptions of all services: it
takes seventy times as long as the request that is then made by it, and each has connections of its
own. Here there is one in a process.

It writes an object in parts, and none for an empty one, which S3 refuses.
"""

import functools
import threading
from types import SimpleNamespace
from typing import Any

from ingestgate.assets.errors import StorageError

_mending = threading.Lock()


def mend_s3() -> None:
    """Has Beam's S3 file system use one client for each set of options, and write empty objects."""
    with _mending:
        _mend()


@functools.cache
def _mend() -> None:
    from apache_beam.io.aws import s3io
    from apache_beam.io.aws.clients.s3 import boto3_client

    if boto3_client.boto3 is None:
        return  # not installed
    finish = s3io.S3Uploader.finish

    def finish_with_a_part(uploader: Any) -> None:
        if not uploader.buffer and not uploader.parts and uploader.last_error is None:
            uploader._write_to_s3(b"")
        finish(uploader)

    s3io.S3Uploader.finish = finish_with_a_part
    session = boto3_client.boto3.session.Session

    @functools.cache  # clients may be shared by threads, sessions may not
    def client(**options: Any) -> Any:
        made = session()
        if options.get("aws_access_key_id") is None and made.get_credentials() is None:
            # Beam would ask again for minutes.
            raise StorageError(
                "no credentials for S3; say where they are as Amazon's tools are told: "
                "AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of the machine"
            )
        return made.client(**options)

    shared = SimpleNamespace(client=client)
    boto3_client.boto3 = SimpleNamespace(session=SimpleNamespace(Session=lambda: shared))
