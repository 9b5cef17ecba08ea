"""Amazon's clients, which Beam makes anew for every call, made once in a process.

Making one reads descriptions of all services: it takes seventy times as long as the request that
is then made by it, and each has connections of its own.
"""

import functools
from types import SimpleNamespace
from typing import Any

from ingestgate.assets.errors import StorageError


@functools.cache
def share_s3_clients() -> None:
    """Has Beam's S3 file system use one client for each set of options, where it has any."""
    from apache_beam.io.aws.clients.s3 import boto3_client

    if boto3_client.boto3 is None:
        return  # not installed
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
