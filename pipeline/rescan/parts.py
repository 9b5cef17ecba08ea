"""Which ledger parts a rescan has to look at: all of every shard, or the rescan is refused.

A part that is not there, or that some other judging left, would be passed over in silence, and what
its assets match never be recalled. So receipts say what has to be there, and where a shard has none
the parts themselves, each of which says how many there are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import LedgerError
from ingestgate.assets.ledger import named_part, part_folder, part_path, read_header
from ingestgate.assets.receipts import (
    Receipt,
    every_receipt,
    read_failures,
    require_their_ledgers,
)


class Ledger(NamedTuple):
    """A ledger, whole.

    Attributes:
        parts: Its parts, by shard and number.
        receipts: By shard, what was committed; not of every shard, after a dry run of none.
        left_out: Shards that the last run could not do, nor any before: nothing is admitted.
    """

    parts: Sequence[storage.Entry]
    receipts: Mapping[str, Receipt]
    left_out: Sequence[str]


def whole_ledger(evidence: str) -> Ledger:
    """Returns all parts of a ledger.

    Raises:
        LedgerError: There is no ledger, or a part is missing, damaged or not of its shard's others.
        EvidenceError: A receipt is damaged, or its shard's ledger is not the one it is of.
    """
    root = storage.join(evidence, "ledger")
    entries = storage.walk_if_there(root)
    receipts = every_receipt(evidence)
    if not entries and not receipts:
        raise LedgerError(root, "there is none; give the --evidence of a run")
    require_their_ledgers(evidence, receipts)
    failed = read_failures(evidence)
    by_shard: dict[str, list[storage.Entry]] = defaultdict(list)
    for entry in entries:
        by_shard[named_part(entry.path[len(root) + 1 :])[0]].append(entry)
    left_out = sorted(by_shard.keys() & failed.keys() - receipts.keys())
    parts = []
    for shard in sorted(by_shard.keys() - set(left_out)):
        several, receipt = by_shard[shard], receipts.get(shard)
        total = _total(root, shard, several) if receipt is None else receipt.ranges
        if {e.path for e in several} != {part_path(root, shard, n) for n in range(total)}:
            raise LedgerError(
                part_folder(root, shard),
                f"has {len(several)} parts where there were {total}; run again, which judges what "
                "is missing, and rescan then",
            )
        parts += several
    return Ledger(parts, receipts, left_out)


def _total(root: str, shard: str, several: Sequence[storage.Entry]) -> int:
    """Returns how many parts a shard has that was not committed, as all of them say."""
    said = set()
    for entry in several:
        header = read_header(entry.path)
        if header is None or part_path(root, header.shard, header.number) != entry.path:
            raise LedgerError(entry.path, "is not the part that its name says; run again")
        said.add((header.identity, header.context, header.total))
    if len(said) > 1:
        raise LedgerError(
            part_folder(root, shard),
            "was judged by several rules, as a run that was killed leaves it; run again",
        )
    return said.pop()[2]
