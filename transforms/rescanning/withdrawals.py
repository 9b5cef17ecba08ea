"""What newer lists do not list any more, and only that had kept an asset in the quarantine."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.verdict import Action
from ingestgate.blocklists.open_list import OpenList

#: Of findings, what is looked at.
FINDING_COLUMNS = ("list_id", "entry_id", "action")


def withdrawn(batch: pa.RecordBatch, lists: Sequence[OpenList]) -> list[str]:
    """Returns assets all of whose quarantining findings are by entries that are gone.

    A list that is not there any more withdraws nothing.

    Args:
        batch: Rows of a ledger, of quarantined assets.
        lists: Whole lists, as they are now.
    """
    findings = pc.list_flatten(batch["findings"])
    parents = pc.list_parent_indices(batch["findings"]).to_numpy()
    entries = pc.struct_field(findings, "entry_id")
    acting = pc.not_equal(pc.struct_field(findings, "action"), Action.OBSERVE.value)
    gone = np.zeros(len(findings), bool)
    for one in lists:
        names = one.entries.column(0)
        own = pc.equal(pc.struct_field(findings, "list_id"), one.info.id)
        missing = pc.invert(pc.is_in(entries.cast(names.type), value_set=names))
        gone |= pc.and_(own, missing).to_numpy(zero_copy_only=False)
    acts = acting.to_numpy(zero_copy_only=False)
    held = np.zeros(batch.num_rows, bool)
    held[parents[acts & ~gone]] = True
    had = np.zeros(batch.num_rows, bool)
    had[parents[acts & gone]] = True
    found: list[str] = batch["asset_id"].filter(pa.array(had & ~held)).to_pylist()
    return found
