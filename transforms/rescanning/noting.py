"""From pairs of rows, a batch's and a list's, to hits: one of each, the nearest, if it counts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestgate.assets.verdict import Action, Verdict
from ingestgate.blocklists.open_list import OpenList
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.suppressions import Suppressions
from ingestgate.transforms.rescanning.results import Hit, PartResult

Integers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Pairs:
    """Pairs of a batch's rows and a list's rows: what was found of one signal type.

    Attributes:
        signal: The signal type.
        source: The list.
        rows: Rows of the batch, by number.
        listed: The row of the list's values that each of them meets.
        distances: In bits.
        of_sidecar: Whether sidecars were looked at, and not the assets themselves.
    """

    signal: str
    source: OpenList
    rows: Integers
    listed: Integers
    distances: Integers
    of_sidecar: bool = False


class Noter:
    """Turns pairs into hits: one per asset, list entry and signal type, the nearest."""

    def __init__(
        self, batch: pa.RecordBatch, result: PartResult, suppressions: Suppressions
    ) -> None:
        self._suppressions = suppressions
        self._batch = batch
        self._result = result
        self._noted: dict[tuple[int, str, str, str], int] = {}

    def note_all(self, found: Iterator[Pairs]) -> None:
        """Notes pairs, canaries left out."""
        for pairs in found:
            signal = signal_type(pairs.signal)
            for row, listed, distance in zip(
                pairs.rows.tolist(), pairs.listed.tolist(), pairs.distances.tolist(), strict=True
            ):
                if not pairs.source.is_canary(signal, listed):
                    entry = int(pairs.source.values[pairs.signal].entries[listed])
                    threshold = pairs.source.info.thresholds.get(pairs.signal, 0)
                    self.note(
                        row,
                        (pairs.source.info.id, pairs.source.info.version),
                        pairs.source.entries.column(0)[entry].as_py(),
                        pairs.signal,
                        distance,
                        certain=distance <= threshold,
                        quarantines=pairs.source.info.action != Action.OBSERVE,
                        in_any_case=pairs.of_sidecar,
                    )

    def note(
        self,
        row: int,
        listed: tuple[str, int],
        entry_id: str,
        signal: str,
        distance: int,
        *,
        certain: bool,
        quarantines: bool,
        in_any_case: bool = False,
    ) -> None:
        """Notes one match with an entry of a list (id and version), or what lets it pass.

        Some count in any case, see `Suppressions.applied`.
        """
        list_id, version = listed
        if self._suppressions and quarantines and not in_any_case:
            sha256 = self._batch["sha256"][row].as_py()
            if name := self._suppressions.of(sha256, list_id, version, entry_id):
                if self._batch["verdict"][row].as_py() == Verdict.ADMITTED:
                    passed = self._result.suppressed.setdefault(name, set())
                    passed.add(self._batch["asset_id"][row].as_py())
                return
        key = (row, list_id, entry_id, signal)
        place = self._noted.get(key)
        if place is not None and self._result.hits[place].distance <= distance:
            return
        hit = Hit(
            self._batch["asset_id"][row].as_py(),
            self._batch["verdict"][row].as_py(),
            list_id,
            entry_id,
            signal,
            distance,
            certain,
            quarantines,
        )
        if place is None:
            self._noted[key] = len(self._result.hits)
            self._result.hits.append(hit)
        else:
            self._result.hits[place] = hit

    def note_unclear(self, rows: Integers) -> None:
        """Notes which of some rows, admitted before, have to be judged again."""
        for row in np.unique(rows).tolist():
            if self._batch["verdict"][row].as_py() == Verdict.ADMITTED:
                self._result.unclear.append(self._batch["asset_id"][row].as_py())
