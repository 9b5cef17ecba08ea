"""What was quarantined before stays so, whatever the lists in force say, until people decide.

A partner may withdraw an entry, a list may be left out or have another threshold: none of that lets
anything out by itself. Only a policy that says in as many words that a list is to observe lets go
what that list alone has caught. Where a shard is judged anew, the quarantine's manifests say what
of it was sealed before (see `earlier_manifests`); only a shard that has some costs more.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestgate.assets.verdict import CONTENT_VIEW, Action, Finding, Reason, SignalKind
from ingestgate.quarantine.manifest import read_manifest_file
from ingestgate.quarantine.manifest_reading import manifest_path, read_as_sealed
from ingestgate.transforms.policy import Policy

_DECLARED = "declared:"
_PLACE = re.compile(r"\[\d+\]")


class EarlierManifest(NamedTuple):
    """A manifest of the quarantine that says what of a shard was sealed before.

    Attributes:
        name: Stem of its files.
        sha256: Hex digest of its JSON lines, as is on record; "": taken as it lies there.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An asset that had matches of its own, and what the input said in the places that matched."""

    number: str
    sha256: str | None
    said: Mapping[str, str | None]
    findings: tuple[Finding, ...]

    @property
    def is_of_bytes(self) -> bool:
        """Whether its very bytes matched, wherever in the shard they lie by now."""
        return self.sha256 is not None and any(
            found.view == CONTENT_VIEW
            if found.kind == SignalKind.DIGEST
            else found.kind == SignalKind.PERCEPTUAL and not found.view.startswith(_DECLARED)
            for found in self.findings
        )

    def is_still(self, sha256: str | None, provenance: Mapping[str, str]) -> bool:
        """Whether what lies in its place is the same, as far as can be told."""
        if sha256 is not None or self.sha256 is not None:
            return sha256 == self.sha256
        said = ((before, provenance.get(name)) for name, before in self.said.items())
        return any(before == now or None in (before, now) for before, now in said)


class EarlierMatches:
    """What of one shard was quarantined for matches of its own.

    Args:
        rows: Rows of manifests, see `ManifestRow`.
        observing: Ids of the lists that the policy says decide nothing.
    """

    def __init__(
        self, rows: Iterable[Mapping[str, Any]] = (), observing: Collection[str] = ()
    ) -> None:
        self._by_place: dict[str, list[_Earlier]] = {}
        self._by_bytes: dict[str, list[_Earlier]] = {}
        self._by_value: dict[tuple[str, str], list[_Earlier]] = {}
        self._decisive = hashlib.sha256()
        self._decides = False
        self.add(rows, observing)

    @property
    def digest(self) -> str:
        """Hex digest of all that was added and can decide a verdict; "" for nothing."""
        return self._decisive.hexdigest() if self._decides else ""

    def add(
        self,
        rows: Iterable[Mapping[str, Any]],
        observing: Collection[str] = (),
        *,
        own: bool = False,
    ) -> None:
        """Adds rows of manifests.

        Args:
            rows: The rows.
            observing: As of the class.
            own: They were sealed by the rules in force, of what the shard holds now. Judging it
                anew finds the same, so they are not in the digest: a run that was killed after it
                had sealed them goes on with what it had judged.
        """
        for row in rows:
            one = _earlier(row, observing)
            if not one.findings:
                continue
            if not own:
                self._decisive.update(_canonical(row["asset_id"], one))
                self._decides = True
            self._by_place.setdefault(row["asset_id"], []).append(one)
            if one.sha256 is not None and one.is_of_bytes:
                self._by_bytes.setdefault(one.sha256, []).append(one)
            for name, value in one.said.items():
                if value is not None:
                    self._by_value.setdefault((_column(name), value), []).append(one)

    def findings_of(
        self, asset_id: str, sha256: str | None, provenance: Mapping[str, str]
    ) -> tuple[Finding, ...]:
        """Returns what an asset had matched before; nothing, if it was not quarantined for it.

        It is known by its place, by its bytes if these matched, and by the source or the declared
        digest that matched, if its bytes are the same or were never there.

        Args:
            asset_id: The asset.
            sha256: Digest of its bytes; None where the shard holds none.
            provenance: What the input says of it. Of an asset without bytes, another source or
                declared digest makes another asset.
        """
        found = [
            one for one in self._by_place.get(asset_id, ()) if one.is_still(sha256, provenance)
        ]
        found += self._by_bytes.get(sha256 or "", ())
        if self._by_value:
            for name, value in provenance.items():
                same = self._by_value.get((_column(name), value), ())
                found += [one for one in same if one.sha256 == sha256]
        newest: dict[tuple[str, ...], Finding] = {}
        for finding in (each for one in found for each in one.findings):
            key = (finding.list_id, finding.entry_id, finding.signal_type, finding.view)
            if key not in newest or newest[key].list_version < finding.list_version:
                newest[key] = finding
        return tuple(newest[key] for key in sorted(newest))

    def candidates(self, provenance: pa.MapArray, first: int) -> list[int]:
        """Returns which rows without bytes may have been quarantined before, in order.

        Args:
            provenance: What the rows say, a map each.
            first: Number of the first row within its shard.

        Returns:
            Indices of the rows; `findings_of` tells of each.
        """
        if not self._by_place:
            return []
        found = {number - first for number in self._numbers()}
        values = pa.array({value for _, value in self._by_value}, pa.string())
        same = np.flatnonzero(pc.is_in(provenance.items, values).to_numpy(zero_copy_only=False))
        owners = np.searchsorted(provenance.offsets.to_numpy(), same, side="right") - 1
        found.update(owners.tolist())
        return sorted(row for row in found if 0 <= row < len(provenance))

    def _numbers(self) -> Iterator[int]:
        for several in self._by_place.values():
            for one in several:
                if one.sha256 is None and one.number.isascii() and one.number.isdecimal():
                    yield int(one.number)


def read_earlier(
    quarantine: str, manifests: Iterable[EarlierManifest], policy: Policy, own: str
) -> EarlierMatches:
    """Returns what some manifests of one shard say of it.

    Args:
        quarantine: Where they lie.
        manifests: The manifests.
        policy: The policy.
        own: Name of the one that judging the shard by the rules in force leaves.

    Raises:
        EvidenceError: One is not what the driver found on record.
        VaultError: One is damaged.
        StorageError: One cannot be read.
    """
    observing = {name for name, said in policy.lists.items() if said.action == Action.OBSERVE}
    found = EarlierMatches()
    for name, sha256 in manifests:
        rows = (
            read_as_sealed(quarantine, name, sha256)
            if sha256
            else read_manifest_file(manifest_path(quarantine, name))
        )
        found.add(rows, observing, own=name == own)
    return found


def _canonical(asset_id: str, one: _Earlier) -> bytes:
    findings = [finding._asdict() for finding in one.findings]
    said = [asset_id, one.number, one.sha256, dict(one.said), findings]
    return json.dumps(said, sort_keys=True).encode() + b"\n"


def _earlier(row: Mapping[str, Any], observing: Collection[str]) -> _Earlier:
    findings: tuple[Finding, ...] = ()
    if row["reason"] in (Reason.MATCHED, Reason.MATCHED_BEFORE):
        every = (Finding(**finding) for finding in row["findings"])
        findings = tuple(f for f in every if f.quarantines and f.list_id not in observing)
    views = {finding.view.removeprefix(_DECLARED) for finding in findings}
    said = {view: row["provenance"].get(view) for view in sorted(views)}
    return _Earlier(row["member"], row["sha256"], said, findings)


def _column(name: str) -> str:
    """Returns the name of a value's column, wherever in a list of it the value stands."""
    return _PLACE.sub("", name)
