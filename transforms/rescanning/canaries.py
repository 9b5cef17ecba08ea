"""Shows the canaries to a rescan, as rows of a ledger, by every way that it finds assets.

A rescan matches columns of a ledger with code of its own, and what it calls clean counts as judged.
So each process that rescans reads a ledger part made of canaries first, with the code that reads
all others: their digests and hashes, the hashes moved as far as a match may be, and the sources and
digests that an asset says of itself.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from ingestgate.assets.ledger import (
    DIGESTS,
    LedgerRow,
    PartHeader,
    Sidecar,
    part_bytes,
    rows_to_table,
)
from ingestgate.assets.perceptual_view import PerceptualView
from ingestgate.assets.verdict import Reason, SignalKind, Verdict
from ingestgate.blocklists.canaries import PICTURE, SOURCES, canary_id
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.signals import signal_type
from ingestgate.transforms.canaries import column_of, require_caught
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescanning import RescanLists, rescan_bytes

_NAME = "canary"
_ORIENTATIONS = 8
_LISTED = {name: value for name, value in PICTURE.items() if name in hashlib.algorithms_guaranteed}
_FURTHER = sorted(_LISTED.keys() - {*DIGESTS})


class _Way(NamedTuple):
    """One row, and by which lists it has to be found.

    Attributes:
        said: How to call the way.
        row: The row.
        reached: List and signal type of the canaries that it shows.
    """

    said: str
    row: LedgerRow
    reached: frozenset[tuple[str, str]]


def check_rescan(wanted: RescanLists) -> None:
    """Checks that a rescan finds every canary of every list, by every way that there is to it.

    Raises:
        SelfTestError: It misses one; names list, signal type and way.
    """
    shown = Matcher([replace(one, canaries={}) for one in wanted.matcher.lists])
    ways = list(_ways(shown, wanted.policy))
    found = _found(
        replace(wanted, matcher=shown, newly_needed=frozenset(), withdrawals=()),
        [way.row for way in ways],
    )
    for way in ways:
        for one in shown.lists:
            reached = {name for list_id, name in way.reached if list_id == one.info.id}
            require_caught(one.info, way.said, reached, found[way.row.asset_id])


def _ways(lists: Matcher, policy: Policy) -> Iterator[_Way]:
    there = {(one.info.id, name) for one in lists.lists for name in one.values}
    near = sorted(n for n in lists.signal_types & PICTURE.keys() if _is_near(n))

    def of(names: Iterable[str]) -> frozenset[tuple[str, str]]:
        return frozenset(pair for pair in there if pair[1] in set(names))

    row = _row("content", digests=_LISTED, perceptual={name: _hash(name) for name in near})
    yield _Way("by content", row, of([*_LISTED, *near]))
    yield _Way("by a sidecar", _row("sidecar", sidecar=True), of(_LISTED))
    for one in lists.lists:
        for name in (name for name in near if name in one.values):
            moved = _hash(name, one.info.thresholds[name])
            row = _row(f"{name} of {one.info.id}", perceptual={name: moved})
            yield _Way("at its threshold", row, frozenset({(one.info.id, name)}))
    said = {name: (column_of(policy.url_columns), source) for name, source in SOURCES.items()}
    for name, patterns in policy.digest_columns.items():
        said[name] = (column_of(patterns), PICTURE.get(name, ""))
    for name, (column, value) in said.items():
        if column and value:
            row = _row(f"said: {name}", provenance={column: value})
            yield _Way("by what an asset says of itself", row, of([name]))


def _is_near(name: str) -> bool:
    return signal_type(name).kind is SignalKind.PERCEPTUAL


def _hash(name: str, bits: int = 0) -> bytes:
    """Returns the canary's hash with some bits flipped, those furthest apart of each other."""
    value = bytearray(bytes.fromhex(PICTURE[name]))
    for number in range(bits):
        place = number * 8 * len(value) // bits
        value[place // 8] ^= 1 << place % 8
    return bytes(value)


def _row(
    asset_id: str,
    *,
    digests: Mapping[str, str] | None = None,
    perceptual: Mapping[str, bytes] | None = None,
    provenance: Mapping[str, str] | None = None,
    sidecar: bool = False,
) -> LedgerRow:
    return LedgerRow(
        asset_id=asset_id,
        shard=_NAME,
        member=_NAME,
        field="",
        position=0,
        sample=_NAME,
        verdict=Verdict.ADMITTED,
        reason=Reason.CLEAN,
        tier=None,
        findings=(),
        size=1,
        media_type="",
        width=1,
        height=1,
        frames=1,
        digests=digests or {name: "0" * len(value) for name, value in _LISTED.items()},
        perceptual={
            name: (_view(bytes(len(value)), value), _view(value, bytes(len(value))))
            for name, value in (perceptual or {}).items()
        },
        provenance=provenance or {},
        sidecars=(Sidecar(_NAME, 0, 1, _LISTED),) if sidecar else (),
    )


def _view(*hashes: bytes) -> PerceptualView:
    first, last = hashes
    return PerceptualView(0, "full", 100, first * (_ORIENTATIONS - 1) + last)


def _found(wanted: RescanLists, rows: list[LedgerRow]) -> dict[str, set[tuple[str, str]]]:
    """Returns list and signal type of the canaries that were found, by row."""
    widths = {n: signal_type(n).width for n in wanted.matcher.signal_types if _is_near(n)}
    header = PartHeader(_NAME, "", 0, 1, 0, len(rows), "", "")
    content = part_bytes(header, rows_to_table(rows, widths, _FURTHER))
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for hit in rescan_bytes(_NAME, content, wanted).hits:
        if hit.certain and hit.entry_id == canary_id(hit.signal_type):
            found[hit.asset_id].add((hit.list_id, hit.signal_type))
    return found
