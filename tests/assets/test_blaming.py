"""What is a shard's own fault, and what is not."""

import errno
import gzip
import logging
import os

import pytest

from ingestgate.assets import storage
from ingestgate.assets.blaming import blaming
from ingestgate.assets.errors import (
    LedgerError,
    ListError,
    SelfTestError,
    ShardError,
    StorageError,
    VaultError,
)
from ingestgate.assets.shard import Shard

SHARD = Shard("0.tar", "/in/0.tar", "img2dataset", 1, "id", ("/in/0.parquet",))
SECRET = "https://listed.example/secret"


@pytest.mark.parametrize("kind", [KeyError, RecursionError, RuntimeError, ValueError])
def test_what_nobody_has_foreseen_is_told_by_its_type(
    kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "ingestgate"),
        pytest.raises(ShardError, match=rf"^0\.tar: .* an unexpected {kind.__name__};") as caught,
        blaming(SHARD),
    ):
        raise kind(SECRET)
    assert SECRET not in str(caught.value)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "0.tar: unexpected")
    ]


def test_memory_that_runs_out_and_bytes_that_are_no_archive() -> None:
    with pytest.raises(ShardError, match="takes more memory than there is"), blaming(SHARD):
        raise MemoryError
    with pytest.raises(ShardError, match="an unexpected BadGzipFile"), blaming(SHARD):
        raise gzip.BadGzipFile("not a gzipped file")


@pytest.mark.parametrize("path", ["/in/0.tar", "/in/0.parquet", "/in/0.tar/inside.jpg"])
def test_files_of_its_own_that_cannot_be_read(path: str) -> None:
    with pytest.raises(ShardError, match="cannot be read"), blaming(SHARD):
        raise StorageError(f"{path}: Input/output error", path)


def test_a_file_that_is_gone() -> None:
    with pytest.raises(ShardError, match=r"cannot be read .*No such file"), blaming(SHARD):
        storage.open_read("/in/0.tar")


@pytest.mark.parametrize(
    "error",
    [
        StorageError("/out/0.tar: No space left on device", "/out/0.tar"),
        StorageError("/in/0.tar.x: Input/output error", "/in/0.tar.x"),
        StorageError("somewhere: full"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ListError("expired"),
        SelfTestError("blind"),
        VaultError("no recipient"),
        LedgerError("part", "damaged"),
        ShardError("0.tar", "truncated"),
        KeyboardInterrupt(),
        SystemExit(3),
    ],
    ids=repr,
)
def test_everything_else_passes_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, blaming(SHARD):
        raise error
    assert caught.value is error
