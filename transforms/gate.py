"""The gate for other people's pipelines, batch or streaming: assets in, verdicts on them out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo, WindowedValue
from pydantic import ValidationError

from ingestgate.assets.errors import PolicyError, first_problem
from ingestgate.assets.kinds import kind_of
from ingestgate.assets.ledger import LedgerRow
from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.assets.verdict import Verdict
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.suppressions import NOWHERE, Suppressions, SuppressionSource
from ingestgate.transforms import batching
from ingestgate.transforms.judging import Judge
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.records import Asset, JudgedAsset
from ingestgate.transforms.settings import open_judge_in_force


class Gate(beam.PTransform):
    """Judges a ``PCollection[Asset]``: a dict of ``admitted``, ``quarantined``, ``unscannable``.

    Each output is a ``PCollection[JudgedAsset]`` with a schema; every asset is in exactly one.
    Nothing is fetched and nothing sealed: what to do with each output is the caller's affair.
    An asset without content is judged by its sources and declared digests alone. Each comes out
    in its windows, with its timestamp; those of one bundle in any order. Once a list has expired,
    bundles fail and nothing comes out; once a suppression has, its entries count again.

        judged = assets | Gate(lists="/srv/lists")
        judged["admitted"] | beam.Map(...)

    Args:
        lists: Folder of compiled lists, readable by the workers; verified here, at
            construction, so that a job with refused lists never starts.
        policy: A policy, or its fields as a mapping (as YAML gives it); None: the defaults.
        suppressions: File or folder of signed suppressions, readable by the workers; verified
            here as well. What they let pass says so in its findings.

    Raises:
        ListError: Lists or suppressions are refused.
        PolicyError: The mapping is no policy.
    """

    def __init__(
        self,
        lists: str,
        policy: Policy | Mapping[str, Any] | None = None,
        suppressions: str | None = None,
    ) -> None:
        super().__init__()
        self._policy = policy if isinstance(policy, Policy) else _policy(policy or {})
        self._lists = lists
        now = datetime.now(UTC)
        opened = ListSet.open(
            lists,
            now=now,
            overrides=self._policy.list_overrides(),
            trust=self._policy.trust.opened(),
        )
        self._digest = opened.digest
        trust = self._policy.trust.for_suppressions()
        self._suppressions = Suppressions.open(suppressions, trust, now=now).source

    def expand(self, assets: beam.PCollection[Asset]) -> Any:
        """Builds the transform; returns the outputs by their names."""
        tags = [verdict.value for verdict in Verdict]
        judge = beam.ParDo(
            _JudgeAssets(self._policy, self._lists, self._digest, self._suppressions)
        )
        typed = judge.with_output_types(JudgedAsset, **dict.fromkeys(tags, JudgedAsset))
        judged = assets | "Judge" >> typed.with_outputs(*tags)
        return {tag: judged[tag] for tag in tags}


def _policy(fields: Mapping[str, Any]) -> Policy:
    try:
        return Policy(**fields)
    except ValidationError as error:
        raise PolicyError(f"policy: {first_problem(error)}") from None


@dataclass(slots=True)
class _Waiting:
    """An asset that waits for others of its bundle, and what Beam knows of it."""

    asset: Asset
    timestamp: Timestamp
    windows: list[BoundedWindow]
    pane: PaneInfo


class _JudgeAssets(beam.DoFn):
    """`Asset` -> `JudgedAsset`, on the output that its verdict names."""

    def __init__(
        self, policy: Policy, lists: str, digest: str, suppressions: SuppressionSource = NOWHERE
    ) -> None:
        self._policy, self._lists, self._digest = policy, lists, digest
        self._suppressions = suppressions

    def setup(self) -> None:
        """Opens lists and fingerprints once per process, not at unpickling."""
        self._judge = open_judge_in_force(
            self._policy, self._lists, self._digest, self._suppressions, datetime.now(UTC)
        )

    def start_bundle(self) -> None:
        """Forgets what a bundle that failed has left."""
        self._waiting: list[_Waiting] = []
        self._bytes = 0

    def process(
        self,
        asset: Asset,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[Any]:
        """Takes in one asset; judges those before it when they are enough."""
        if self._is_in_another_window(asset, timestamp, window):
            self._waiting[-1].windows.append(window)
            return
        size = len(asset.content or b"")
        if len(self._waiting) == batching.SAMPLES or self._bytes + size > batching.BYTES:
            yield from self._judged()
        self._waiting.append(_Waiting(asset, timestamp, [window], pane))
        self._bytes += size

    def finish_bundle(self) -> Iterator[Any]:
        """Judges those that still wait: a bundle's assets leave with the bundle."""
        yield from self._judged()

    def _is_in_another_window(
        self, asset: Asset, timestamp: Timestamp, window: BoundedWindow
    ) -> bool:
        """Whether this is the last asset again: Beam shows it once for each window it is in."""
        if not self._waiting:
            return False
        last = self._waiting[-1]
        return last.asset is asset and last.timestamp == timestamp and window not in last.windows

    def _judged(self) -> Iterator[Any]:
        """Judges those that wait; yields them as they came, with verdicts.

        A streaming job lives long: suppressions that have ended meanwhile let nothing pass.

        Raises:
            ListError: A list has expired since it was opened.
        """
        now = datetime.now(UTC)
        if self._judge.lists.have_expired(now):
            self.setup()
        in_force = self._judge.suppressions.as_of(now)
        if in_force is not self._judge.suppressions:
            judge = self._judge
            self._judge = Judge(judge.policy, judge.lists, in_force, judge.fingerprinter)
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        rows = self._judge.judge_all("", (_sample(each.asset) for each in waiting))
        for each, row in zip(waiting, rows, strict=True):
            judged = _with_verdict(each.asset, row)
            windowed = WindowedValue(judged, each.timestamp, each.windows, each.pane)
            yield beam.pvalue.TaggedOutput(judged.verdict, windowed)


def _sample(asset: Asset) -> Sample:
    """Returns an asset as a sample of its own: it has no companions here."""
    kind = Kind.REFERENCE
    if asset.content is not None:
        kind = kind_of("", asset.content, frozenset())
    member = Member(asset.asset_id, 0, asset.content, kind)
    return Sample(asset.asset_id, (member,), asset.provenance)


def _with_verdict(asset: Asset, row: LedgerRow) -> JudgedAsset:
    return JudgedAsset(
        asset=asset,
        verdict=row.verdict.value,
        reason=row.reason.value,
        tier=row.tier.value if row.tier else "",
        findings=row.findings,
        md5=row.digests.get("md5", ""),
        sha1=row.digests.get("sha1", ""),
        sha256=row.digests.get("sha256", ""),
    )
