"""The rescan step: paths of ledger parts in, what newly matches in them written, counts out."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.typehints import KV

from ingestgate.assets import storage
from ingestgate.assets.errors import LedgerError
from ingestgate.blocklists.additions import added_since
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.matching import Matcher
from ingestgate.blocklists.selftest import self_test as lists_self_test
from ingestgate.blocklists.suppressions import NOWHERE, SuppressionSource
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.rescanning import RescanLists, as_json, rescan_part
from ingestgate.transforms.rescanning.canaries import check_rescan
from ingestgate.transforms.rescanning.suppressing import RescanSuppressions
from ingestgate.transforms.settings import open_suppressions


@dataclass(frozen=True, slots=True)
class RescanSettings:
    """What the steps of one rescan share.

    Attributes:
        policy: Whose columns and lists count.
        lists: Folder of compiled lists.
        lists_digest: Of the set that the driver verified.
        work: Folder for what was found in each part.
        since: By list id, the folders (newer, older) of versions between which to look; None: of a
            list that has not changed, which is not looked for.
        newly_needed: See `RescanLists`; in order, as what was begun is found by these settings.
        withdrawals: Also note what only withdrawn entries had matched.
        suppressions: Those that the driver verified.
    """

    policy: Policy
    lists: str
    lists_digest: str
    work: str
    since: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    newly_needed: tuple[str, ...] = ()
    withdrawals: bool = False
    suppressions: SuppressionSource = NOWHERE


def open_rescan(settings: RescanSettings) -> RescanLists:
    """Opens what is looked for: whole lists, and of some what came to them.

    Raises:
        ListError: Lists or suppressions are not those that were verified.
    """
    lists = ListSet.open(
        settings.lists,
        now=datetime.now(UTC),
        overrides=settings.policy.list_overrides(),
        verify=False,
        expected_digest=settings.lists_digest,
        trust=settings.policy.trust.opened(),
    )
    chosen = []
    for one in lists.lists:
        if one.info.id not in settings.since:
            chosen.append(one)
        elif (versions := settings.since[one.info.id]) is not None:
            chosen.append(added_since(one, *versions))
    return RescanLists(
        Matcher(chosen),
        settings.policy,
        frozenset(settings.newly_needed),
        lists.lists if settings.withdrawals else (),
        RescanSuppressions(
            open_suppressions(settings.policy, settings.suppressions),
            {info.id: info.version for info in lists.infos},
        ),
    )


def result_path(work: str, number: int) -> str:
    """Returns where it lies what was found in a part."""
    return storage.join(work, f"{number:07d}.json")


@beam.typehints.with_input_types(KV[int, Iterable[str]])
@beam.typehints.with_output_types(int)
class RescanPart(beam.DoFn):
    """A part's number and path -> its number; what was found is written on the way."""

    def __init__(self, settings: RescanSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        """Opens the lists once per process, and has it shown that what they hold is found."""
        lists_self_test()
        self._wanted = open_rescan(self._settings)
        check_rescan(self._wanted)

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[int]:
        """Looks at one part, unless that was done."""
        number, (path, *_) = element  # delivered twice, it is the same
        target = result_path(self._settings.work, number)
        if not storage.exists(target):
            found: dict[str, Any]
            try:
                found = {"path": path, **as_json(rescan_part(path, self._wanted))}
            except LedgerError as error:
                found = {"path": path, "problem": error.problem}
            storage.write_bytes(target, json.dumps(found).encode(), private=True)
        yield number
