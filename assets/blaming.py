"""Whose fault an error is: one shard's, which then fails alone, or one that ends the run.

A landing zone is written by others. Whatever a reader, a check or a writer comes to over a shard,
the other shards are done; what the gate itself cannot go on without (lists, its own folders, the
room on a disk) is no shard's fault.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ingestgate.assets.errors import GateError, ShardError, StorageError
from ingestgate.assets.shard import Shard

_log = logging.getLogger(__name__)


@contextmanager
def blaming(shard: Shard) -> Iterator[None]:
    """Turns what is a shard's own fault into a ShardError, and lets everything else pass.

    Its fault are its files where they cannot be read, memory that runs out, and every error that
    nobody has foreseen. Of that the message may quote what the shard holds: the type alone is told.

    Raises:
        ShardError: The shard cannot be done.
    """
    try:
        yield
    except StorageError as error:
        if not _is_of(shard, error.path):
            raise
        raise ShardError(shard.name, f"cannot be read ({error})") from error
    except GateError:
        raise
    except MemoryError as error:
        raise ShardError(shard.name, "takes more memory than there is") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the machine's answer to whoever asked, and not a library's about bytes
        name = type(error).__name__.encode("ascii", "replace").decode()
        _log.debug("%s: unexpected", shard.name, exc_info=error)
        problem = f"cannot be done: an unexpected {name}; take it out of the input, and report it"
        raise ShardError(shard.name, problem) from error


def _is_of(shard: Shard, path: str) -> bool:
    return path in (shard.path, *shard.parts) or path.startswith(f"{shard.path.rstrip('/')}/")
