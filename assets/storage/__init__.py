"""Where bytes lie: local paths, and through Beam's FileSystems every scheme its extras bring.

The one seam to a file system. Everything that is written goes to a temporary name beside its
final one, is made durable, and is renamed (object stores: copied by the store, then the
temporary deleted): nobody ever sees a half-written file under a final name. Temporary names
start with a dot and end in ``.partial``; `sweep` removes those that a killed run left behind.

Patterns follow `glob`: ``*`` and ``?`` stay within one path component, ``**`` does not.
"""

from ingestgate.assets.storage.erasing import erase
from ingestgate.assets.storage.listing import (
    Entry,
    exists,
    file_if_there,
    file_in_the_way,
    is_directory,
    is_there,
    match,
    match_directories,
    require_directory,
    status,
    walk,
    walk_if_there,
    walk_unfollowed,
)
from ingestgate.assets.storage.locking import is_locked, lock
from ingestgate.assets.storage.opening import open_read, read_bytes
from ingestgate.assets.storage.paths import (
    PARTIAL_SUFFIX,
    absolute,
    basename,
    has_wildcard,
    is_partial,
    is_remote,
    join,
    parent,
    resolved,
    temporary_name,
)
from ingestgate.assets.storage.remote import BEAM_OPTIONS, beam_options, use_beam_options
from ingestgate.assets.storage.removing import delete, delete_tree, sweep
from ingestgate.assets.storage.renaming import (
    make_directory,
    move,
    publish_directory,
    settle,
    sync_directory,
)
from ingestgate.assets.storage.writing import (
    PendingFile,
    require_writable,
    write_atomic,
    write_bytes,
)

__all__ = [
    "BEAM_OPTIONS",
    "PARTIAL_SUFFIX",
    "Entry",
    "PendingFile",
    "absolute",
    "basename",
    "beam_options",
    "delete",
    "delete_tree",
    "erase",
    "exists",
    "file_if_there",
    "file_in_the_way",
    "has_wildcard",
    "is_directory",
    "is_locked",
    "is_partial",
    "is_remote",
    "is_there",
    "join",
    "lock",
    "make_directory",
    "match",
    "match_directories",
    "move",
    "open_read",
    "parent",
    "publish_directory",
    "read_bytes",
    "require_directory",
    "require_writable",
    "resolved",
    "settle",
    "status",
    "sweep",
    "sync_directory",
    "temporary_name",
    "use_beam_options",
    "walk",
    "walk_if_there",
    "walk_unfollowed",
    "write_atomic",
    "write_bytes",
]
