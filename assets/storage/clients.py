"""Amazon's clients, which Beam makes anew for every call, made once in a process.

Making one reads descriptions of all services: it takes seventy times as long as the request that
is then made by it, and each has connections of its own.
"""

import functools
from types import SimpleNamespace
from typing import Any


@functools.cache
def share_s3_clients() -> None:
    """Has Beam's S3 file system use one client for each set of options, where it has any."""
    from apache_beam.io.aws.clients.s3 import boto3_client

    if boto3_client.boto3 is None:
        return  # not installed
    session = boto3_client.boto3.session.Session

    @functools.cache  # clients may be shared by threads, sessions may not
    def client(**options: Any) -> Any:
        return session().client(**options)

    shared = SimpleNamespace(client=client)
    boto3_client.boto3 = SimpleNamespace(session=SimpleNamespace(Session=lambda: shared))
