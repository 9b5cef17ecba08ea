"""Looking up recorded digests, a column at a time: of assets' bytes and of their sidecars."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from ingestgate.blocklists.columns import decode_hex, without_space
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.tables import as_keys
from ingestgate.transforms.rescanning.noting import Integers, Pairs
from ingestgate.transforms.rescanning.results import PartResult
from ingestgate.transforms.rescanning.wanted import RescanLists


def match_recorded(
    batch: pa.RecordBatch, wanted: RescanLists, name: str, result: PartResult
) -> Iterator[Pairs]:
    """Looks up the digests of the assets' bytes and of their sidecars."""
    sidecars = batch["sidecars"]
    has_bytes = pc.is_valid(batch["size"])
    if name not in batch.schema.names:
        if pc.any(has_bytes).as_py() or len(pc.list_flatten(sidecars)):
            result.missing.add(name)
        return
    column = batch[name]
    if pc.any(pc.and_(has_bytes, pc.is_null(column))).as_py():
        result.missing.add(name)
    own = np.arange(batch.num_rows)
    for texts, owners in (
        (column, own),
        (pc.struct_field(pc.list_flatten(sidecars), name), None),
    ):
        if not len(texts):
            continue
        rows = pc.list_parent_indices(sidecars).to_numpy() if owners is None else owners
        for found in look_up(texts, rows, wanted, name):
            yield replace(found, of_sidecar=owners is None)


def look_up(texts: pa.Array, rows: Integers, wanted: RescanLists, name: str) -> Iterator[Pairs]:
    """Looks up digests written in hex, as `decode_hex` reads it.

    Args:
        texts: The digests; null where there is none.
        rows: Whose each of them is, by its row in the batch.
        wanted: What is looked for.
        name: Signal type of the digests.
    """
    width = signal_type(name).width
    texts = without_space(texts, 2 * width)
    for one in wanted.matcher.lists:
        if name not in one.values or not len(one.values[name].values):
            continue
        table = one.values[name]
        chosen = _maybe_listed(texts, _first_bytes(id(table), table.values))
        if not len(chosen):
            continue
        decoded = decode_hex(texts.take(pa.array(chosen)), width)
        queries, listed = table.find(as_keys(decoded.values))
        found = rows[chosen[decoded.rows[queries]]]
        yield Pairs(name, one, found, listed, np.zeros(len(found), np.int64))


_prefixes: dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]] = {}


def _first_bytes(key: int, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Returns which of all 24-bit beginnings values have; made once per table."""
    kept = _prefixes.get(key)
    if kept is None or kept[0] is not values:
        mask = np.zeros(1 << 24, bool)
        three = values[:, :3].astype(np.uint32)
        mask[three[:, 0] << 16 | three[:, 1] << 8 | three[:, 2]] = True
        kept = _prefixes[key] = (values, mask)
    return kept[1]


def _maybe_listed(texts: pa.Array, mask: npt.NDArray[np.bool_]) -> Integers:
    """Returns the rows whose first six hex digits some listed value begins with."""
    texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    if data is None:
        return np.zeros(0, np.int64)
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    rows: Integers = _screened(np.frombuffer(data, np.uint8), ends, mask)
    return rows


@njit(cache=True, nogil=True)
def _screened(data: npt.NDArray[np.uint8], ends: Integers, mask: npt.NDArray[np.bool_]) -> Integers:
    kept = np.empty(len(ends) - 1, np.int64)
    count = 0
    for row in range(len(ends) - 1):
        start = ends[row]
        if ends[row + 1] - start < 6:
            continue
        value = 0
        for place in range(start, start + 6):
            digit = data[place]
            if digit >= 97:
                digit -= 87
            elif digit >= 65:
                digit -= 55
            else:
                digit -= 48
            value = value << 4 | (digit & 15)
        if mask[value]:
            kept[count] = row
            count += 1
    return kept[:count]
