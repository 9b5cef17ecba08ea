"""Taking samples out of an image folder where it lies: their files, and their metadata rows."""

import hashlib

import numpy as np

from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.containers.folder_index import folder_listing
from ingestgate.assets.containers.image_folder import Origin
from ingestgate.assets.containers.output import PendingOutput
from ingestgate.assets.errors import ShardError
from ingestgate.assets.shard import Kind, Sample, Shard


class FolderPurge:
    """What has to go for some samples to be gone from a folder.

    Args:
        shard: The folder.

    Attributes:
        removed: SHA-256 of each file that goes, by its path relative to the folder.
    """

    def __init__(self, shard: Shard) -> None:
        self.removed: dict[str, str] = {}
        self._name = shard.name
        self._metadata = folder_listing(shard).metadata
        self._stays = [np.ones(item.table.num_rows, bool) for item in self._metadata]

    def drop(self, sample: Sample) -> None:
        """Notes that a sample goes.

        Raises:
            ShardError: A file of it was never read, so that the vault does not hold it.
        """
        origin: Origin = sample.raw
        for path, member in zip(origin.paths, sample.members, strict=True):
            if member.content is not None:
                self.removed[path] = hashlib.sha256(member.content).hexdigest()
            elif member.kind is not Kind.REFERENCE:
                raise ShardError(
                    self._name,
                    f"{member.name} is of a sample that would go, and is a link, no file or too "
                    "large: it was not sealed. Take it out by hand, run again, then purge; "
                    "nothing of the shard was purged",
                )
        for source, row in origin.rows:
            self._stays[source][row] = False

    def write(self, root: str, folder: str) -> list[OutputFile]:
        """Writes the metadata files that lose rows.

        Args:
            root: Where to.
            folder: The folder's path below that.

        Returns:
            What was written; names are below ``root``.

        Raises:
            StorageError: One cannot be written.
        """
        written = []
        for item, stays in zip(self._metadata, self._stays, strict=True):
            if not stays.all():
                with PendingOutput(root, f"{folder}/{item.name}") as output:
                    output.write(item.chosen(stays))
                    output.complete()
                    written.append(output.publish())
        return written
