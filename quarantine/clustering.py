"""Clusters: assets that are one case, so that a person meets them once.

Two assets belong together if their bytes are the same, or if both matched the same entry of a
list, by digest or by look; and so on from asset to asset. A source says nothing of the picture,
so a listed domain joins nothing. A cluster's id is the smallest id of an asset in it: it follows
from the manifests alone, whatever order or shards they were written in.

Held in memory per row are its id and a digest of 16 bytes per link, never the row.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ingestgate.assets.verdict import SignalKind

_KEY_BYTES = 16
_ID = np.dtype("S32")


class Clusters:
    """The clusters of a quarantine's assets.

    Args:
        rows: Rows of manifests, as `read_manifest` yields them; an asset may have several.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        identifiers, owners, keys = bytearray(), [], bytearray()
        for number, row in enumerate(rows):
            identifiers += row["asset_id"].encode("ascii").ljust(_ID.itemsize)[: _ID.itemsize]
            for key in _links(row):
                owners.append(number)
                keys += key
        every = np.frombuffer(bytes(identifiers), dtype=_ID)
        self._ids, of_row = np.unique(every, return_inverse=True)
        links = np.frombuffer(bytes(keys), dtype="<u8").reshape(-1, _KEY_BYTES // 8)
        key_of = np.unique(links, axis=0, return_inverse=True)[1].reshape(-1)
        self._first = _components(
            len(self._ids), of_row[np.array(owners, dtype=np.int64)].astype(np.int64), key_of
        )

    def of(self, asset: str) -> str:
        """Returns the id of the cluster an asset is in: the smallest asset id of it."""
        at = int(np.searchsorted(self._ids, np.bytes_(asset.encode("ascii"))))
        found: bytes = self._ids[self._first[at]]
        return found.decode("ascii").rstrip()

    def starting(self, start: str) -> list[str]:
        """Returns the ids of the clusters whose id starts so."""
        every = self._ids[np.unique(self._first)]
        return [name for each in every if (name := each.decode("ascii").rstrip()).startswith(start)]


def _links(row: Mapping[str, Any]) -> Iterator[bytes]:
    if row["sha256"]:
        yield _digest("sha256", row["sha256"])
    entries = {
        (found["list_id"], found["entry_id"])
        for found in row["findings"]
        if found["kind"] != SignalKind.SOURCE
    }
    for entry in sorted(entries):
        yield _digest("entry", *entry)


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()[:_KEY_BYTES]


def _components(
    assets: int, owners: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Returns the smallest asset that each asset is connected with, through keys they share."""
    nodes = assets + (int(keys.max()) + 1 if len(keys) else 0)
    smallest = np.arange(nodes, dtype=np.int64)
    keys = keys + assets  # so that the smallest node of a component is always an asset
    while True:
        before = smallest.copy()
        np.minimum.at(smallest, keys, smallest[owners])
        np.minimum.at(smallest, owners, smallest[keys])
        smallest = smallest[smallest]
        if np.array_equal(before, smallest):
            return smallest[:assets]
