"""What came to a list since an older version: the same list, with nothing else in it.

Small, in memory, and matched like any other; ledgers that were held against the older version
need no more than this.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists import hamming, indexing
from ingestgate.blocklists.canaries import canary_rows
from ingestgate.blocklists.changes import compare, open_version
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.tables import SortedValues


def added_since(one: OpenList, directory: str, older: str) -> OpenList:
    """Returns a list with only those entries that were added or changed since a version.

    Args:
        one: The newer version, opened.
        directory: Where it lies.
        older: Where the older one lies.

    Raises:
        ListError: One is damaged.
    """
    compared = compare(open_version(older), open_version(directory))
    return only(one, {*compared.added, *compared.changed})


def only(one: OpenList, ids: Collection[str]) -> OpenList:
    """Returns a list with only some of its entries, and the canaries of their signal types.

    Screens and the hosts of listed URLs stay as they are: they let more through than needed.
    """
    names = one.entries.column(0)
    wanted = pc.is_in(names, value_set=pa.array(sorted(ids), names.type))
    chosen = wanted.to_numpy(zero_copy_only=False)
    values, indexes = {}, {}
    for name, table in one.values.items():
        mask = chosen[table.entries]
        own = list(one.canaries.get(name, ()))
        mask[own] = False
        if not mask.any():
            continue
        mask[own] = True
        kept = SortedValues(np.ascontiguousarray(table.values[mask]), table.entries[mask])
        values[name] = kept
        signal = signal_type(name)
        if signal.kind is SignalKind.PERCEPTUAL and len(mask) >= hamming.INDEXED_FROM:
            indexes[name] = indexing.build_index(kept.values, one.info.thresholds[name])
    canaries = canary_rows(one.info.canaries, values, names)
    return replace(one, values=values, indexes=indexes, canaries=canaries)
