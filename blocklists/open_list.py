"""One opened list: its values by signal type, what it says of itself, and the findings it makes."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets.verdict import Finding
from ingestgate.blocklists.chunking import HammingIndex
from ingestgate.blocklists.manifest import ListInfo
from ingestgate.blocklists.signals import SignalType
from ingestgate.blocklists.tables import SortedValues

_log = logging.getLogger(__name__)
MAX_FINDINGS = 64  # per list, signal type and asset


@dataclass(frozen=True)
class OpenList:
    """One list, opened.

    Attributes:
        info: What it says of itself, with the policy's overrides applied.
        values: Per signal type, its values.
        indexes: Per perceptual signal type that has one, its multi-index.
        url_hosts: SHA-256 of the hosts listed URLs lie on; None without URLs.
        entries: The entry table.
        feedback: Feedback on each row of the entry table; None where there is none.
        canaries: Per signal type, the rows of its values that are canaries, see `canaries`: they
            are matched like all others, and are no findings.
        screens: Its screens by name, see `screening`; lists of form 1.0 have none.
    """

    info: ListInfo
    values: dict[str, SortedValues]
    indexes: dict[str, HammingIndex]
    url_hosts: SortedValues | None
    entries: pa.RecordBatch
    feedback: pa.Array | None = None
    canaries: Mapping[str, frozenset[int]] = field(default_factory=dict)
    screens: Mapping[str, npt.NDArray[np.uint32]] = field(default_factory=dict)

    def is_canary(self, signal: SignalType, row: int) -> bool:
        """Whether a row of a signal type's values is a canary, met outside of its test."""
        if row not in self.canaries.get(signal.name, ()):
            return False
        _log.info(
            "%s: a %s is that of the canary, which is no finding", self.info.name, signal.name
        )
        return True

    def finding(self, signal: SignalType, row: int, view: str, distance: int = 0) -> Finding:
        """Returns the finding for one row of a signal type's values."""
        entry = int(self.values[signal.name].entries[row])
        return Finding(
            list_id=self.info.id,
            list_version=self.info.version,
            entry_id=self.entries.column(0)[entry].as_py(),
            category=self.entries.column(1)[entry].as_py(),
            signal_type=signal.name,
            kind=signal.kind.value,
            view=view,
            distance=distance,
            threshold=self.info.thresholds.get(signal.name, 0),
            action=self.info.action.value,
            feedback="" if self.feedback is None else self.feedback[entry].as_py(),
        )


def find_equal(
    lists: Iterable[OpenList],
    signal: SignalType,
    keys: npt.NDArray[np.bytes_],
    views: Sequence[str],
) -> dict[int, list[Finding]]:
    """Looks equal values up in every list.

    Args:
        lists: The lists, in the order findings are to have.
        signal: The values' signal type.
        keys: What to look up, see `tables.as_keys`.
        views: A name for each of them, or one for all.

    Returns:
        Findings by the key's place; at most `MAX_FINDINGS` of each list.
    """
    found: dict[int, list[Finding]] = {}
    for one in lists:
        if signal.name not in one.values or not len(keys):
            continue
        taken: dict[int, int] = {}
        for query, row in zip(*one.values[signal.name].find(keys), strict=True):
            if one.is_canary(signal, int(row)):
                continue
            taken[query] = taken.get(query, 0) + 1
            if taken[query] <= MAX_FINDINGS:
                view = views[query if len(views) > 1 else 0]
                found.setdefault(int(query), []).append(one.finding(signal, int(row), view))
    return found
