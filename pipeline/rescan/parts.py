"""Which ledger parts a rescan has to look at: all of every shard, or the rescan is refused.

A part that is not there, or that some other judging left, would be passed over in silence, and what
its assets match never be recalled. So receipts say what has to be there, and after dry runs, which
leave none, the parts themselves, each of which says how many there are.

A shard that lies in the output and has no receipt, as a run leaves it that is killed in between, is
refused: its ledger may be of a later judging, as whatever else was judged since took its place. One
of which the output holds nothing is left out: it failed, or nothing came of its judging, and it may
have left the landing zone, so that no run would ever mend it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError, LedgerError
from ingestgate.assets.ledger import named_part, part_folder, part_path, read_header
from ingestgate.assets.receipts import (
    Receipt,
    every_receipt,
    read_failures,
    require_published,
    require_their_ledgers,
)

_THREADS = 16


class Ledger(NamedTuple):
    """A ledger, whole.

    Attributes:
        parts: Its parts, by shard and number.
        receipts: By shard, what was committed; not of every shard, after a dry run of none.
        left_out: Shards of which nothing is admitted, and that the others do not wait for.
        missing: Where there are such, what the output lacks of all that was admitted.
    """

    parts: Sequence[storage.Entry]
    receipts: Mapping[str, Receipt]
    left_out: Sequence[str]
    missing: Sequence[str]


def whole_ledger(evidence: str, output: str) -> Ledger:
    """Returns all parts of a ledger.

    Args:
        evidence: Where it lies.
        output: Root of the shards that were admitted.

    Raises:
        LedgerError: There is no ledger, or a part is missing, damaged or not of its shard's others.
        EvidenceError: A receipt is damaged, or its shard's ledger is not the one it is of; or the
            output holds a shard that has none.
        UsageError: A shard has no receipt, and the output holds nothing of all others.
    """
    root = storage.join(evidence, "ledger")
    entries = storage.walk_if_there(root)
    receipts = every_receipt(evidence)
    if not entries and not receipts:
        raise LedgerError(root, "there is none; give the --evidence of a run")
    require_their_ledgers(evidence, receipts)
    by_shard: dict[str, list[storage.Entry]] = defaultdict(list)
    for entry in entries:
        by_shard[named_part(entry.path[len(root) + 1 :])[0]].append(entry)
    failed = read_failures(evidence).keys()
    # What failed may have been published before, and have no ledger any more.
    uncommitted = sorted((by_shard.keys() | failed) - receipts.keys())
    _refuse_published(evidence, output, uncommitted, any_receipt=bool(receipts))
    # Without any receipt, as after dry runs, what was judged is asked about all the same.
    left_out = sorted(by_shard.keys() - receipts.keys() if receipts else by_shard.keys() & failed)
    # An output that holds nothing of the others is not theirs, and does not tell.
    missing = require_published(evidence, output, receipts.values()) if left_out else ()
    parts = []
    for shard in sorted(by_shard.keys() - set(left_out)):
        several, receipt = by_shard[shard], receipts.get(shard)
        if receipt is None:
            remedy = remedy_without_receipt(evidence, output, shard)
            total = _total(root, shard, several, remedy)
        else:
            remedy = "run again, which judges what is missing, and rescan then"
            total = receipt.ranges
        if {e.path for e in several} != {part_path(root, shard, n) for n in range(total)}:
            raise LedgerError(
                part_folder(root, shard),
                f"has {len(several)} parts where there were {total}; {remedy}",
            )
        parts += several
    return Ledger(parts, receipts, left_out, missing)


def remedy_without_receipt(evidence: str, output: str, shard: str) -> str:
    """Returns what to do about a shard that was judged and has no receipt; completes a sentence."""
    folder = part_folder(storage.join(evidence, "ledger"), shard)
    return (
        "run again, which judges and commits it, and rescan then; if it is not in the input any "
        f"more, remove {folder}, and {storage.join(output, shard)} if that is there"
    )


def _refuse_published(
    evidence: str, output: str, uncommitted: Sequence[str], *, any_receipt: bool
) -> None:
    """Refuses shards without a receipt that the output holds.

    Raises:
        EvidenceError: There is one.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        paths = (storage.join(output, shard) for shard in uncommitted)
        there = zip(uncommitted, pool.map(storage.is_there, paths), strict=True)
        published = [shard for shard, admitted in there if admitted]
    if published:
        # Without any receipt here, the output may be another evidence's, whose receipts are valid.
        remedy = (
            remedy_without_receipt(evidence, output, published[0])
            if any_receipt
            else "give an --output of its own, or the --evidence of the run that filled this one, "
            "or run again, which judges and commits it, and rescan then"
        )
        raise EvidenceError(
            f"{published[0]}: lies in {output}, and no receipt says what was admitted of it "
            f"({len(published)} such shards); {remedy}"
        )


def _total(root: str, shard: str, several: Sequence[storage.Entry], remedy: str) -> int:
    """Returns how many parts a shard has that was not committed, as all of them say."""
    said = set()
    for entry in several:
        header = read_header(entry.path)
        if header is None or part_path(root, header.shard, header.number) != entry.path:
            raise LedgerError(entry.path, f"is not the part that its name says; {remedy}")
        said.add((header.identity, header.context, header.total))
    if len(said) > 1:
        raise LedgerError(
            part_folder(root, shard),
            f"was judged by several rules, as a run that was killed leaves it; {remedy}",
        )
    return said.pop()[2]
