"""Image folders of which a purge has left no picture: by their looks, nobody would know them."""

from collections.abc import Sequence

from ingestgate.assets import storage
from ingestgate.assets.containers.discovery import identity_of
from ingestgate.assets.purges import is_as_judged, unfinished_path
from ingestgate.assets.receipts import read_receipt
from ingestgate.assets.shard import Shard
from ingestgate.assets.storage import Entry


def is_purged_folder(evidence: str, directory: str, entries: Sequence[Entry]) -> bool:
    """Whether a directory is what a purge left of an image folder, or is leaving of it.

    Args:
        evidence: Where the receipts lie.
        directory: Its path; on an object store nothing may be left of it.
        entries: The files in it.

    Raises:
        EvidenceError: The receipt of its purge is damaged.
        StorageError: One cannot be read.
    """
    parts = directory.split("/")
    # Its shard is called by the path below the inputs' common root, which may be any above it.
    for start in range(1, len(parts)):
        root, name = "/".join(parts[:start]), "/".join(parts[start:])
        receipt = None if name.startswith("/") else read_receipt(evidence, name)  # a store's name
        if receipt is None or receipt.format != "folder":
            continue
        if storage.exists(unfinished_path(evidence, name)):
            return True
        shard = Shard(name, directory, "folder", 0, identity_of(root, entries))
        # Whichever judging the purge was of: if not of the last, the shard is to be judged anew.
        if is_as_judged(evidence, shard, receipt.identity):
            return True
    return False
