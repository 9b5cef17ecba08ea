"""The gate for other people's pipelines, batch or streaming, one asset at a time."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from pydantic import ValidationError

from ingestgate.assets.errors import PolicyError
from ingestgate.assets.media import kind_of
from ingestgate.assets.shard import Kind, Member
from ingestgate.assets.verdict import Verdict, tier
from ingestgate.blocklists.listset import ListSet
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.records import Asset, JudgedAsset
from ingestgate.transforms.settings import open_judge


class Gate(beam.PTransform):
    """Judges a ``PCollection[Asset]``: a dict of ``admitted``, ``quarantined``, ``unscannable``.

    Each output is a ``PCollection[JudgedAsset]`` with a schema; every asset is in exactly one.
    Nothing is fetched and nothing sealed: what to do with each output is the caller's affair.
    An asset without content is judged by its sources and declared digests alone.

        judged = assets | Gate(lists="/srv/lists")
        judged["admitted"] | beam.Map(...)

    Args:
        lists: Folder of compiled lists, readable by the workers; verified here, at
            construction, so that a job with refused lists never starts.
        policy: A policy, or its fields as a mapping (as YAML gives it); None: the defaults.

    Raises:
        ListError: The lists are refused.
        PolicyError: The mapping is no policy.
    """

    def __init__(self, lists: str, policy: Policy | Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._policy = policy if isinstance(policy, Policy) else _policy(policy or {})
        self._lists = lists
        opened = ListSet.open(
            lists,
            now=datetime.now(UTC),
            overrides=self._policy.list_overrides(),
            trust=self._policy.trust.opened(),
        )
        self._digest = opened.digest

    def expand(self, assets: beam.PCollection[Asset]) -> Any:
        """Builds the transform; returns the outputs by their names."""
        tags = [verdict.value for verdict in Verdict]
        judge = beam.ParDo(_JudgeAsset(self._policy, self._lists, self._digest))
        typed = judge.with_output_types(JudgedAsset, **dict.fromkeys(tags, JudgedAsset))
        judged = assets | "Judge" >> typed.with_outputs(*tags)
        return {tag: judged[tag] for tag in tags}


def _policy(fields: Mapping[str, Any]) -> Policy:
    try:
        return Policy(**fields)
    except ValidationError as error:
        what = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in what["loc"])
        raise PolicyError(f"policy: {where}: {what['msg']}") from None


class _JudgeAsset(beam.DoFn):
    def __init__(self, policy: Policy, lists: str, digest: str) -> None:
        self._policy, self._lists, self._digest = policy, lists, digest

    def setup(self) -> None:
        self._judge = open_judge(self._policy, self._lists, self._digest)

    def process(self, asset: Asset) -> Iterator[Any]:
        kind = Kind.REFERENCE
        if asset.content is not None:
            kind = kind_of("", asset.content, frozenset())
        member = Member(asset.asset_id, 0, asset.content, kind)
        checked = self._judge.check(member, asset.provenance)
        found = tier(checked.evidence.findings)
        judged = JudgedAsset(
            asset=asset,
            verdict=checked.verdict.value,
            reason=checked.reason.value,
            tier=found.value if found else "",
            findings=checked.evidence.findings,
            md5=checked.digests.get("md5", ""),
            sha1=checked.digests.get("sha1", ""),
            sha256=checked.digests.get("sha256", ""),
        )
        yield beam.pvalue.TaggedOutput(judged.verdict, judged)
