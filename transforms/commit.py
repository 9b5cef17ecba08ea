"""The commit step: one key per shard, references only, once every range of it is judged."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.typehints import KV

from ingestgate.assets import ledger, storage
from ingestgate.assets.blaming import blaming
from ingestgate.assets.errors import LedgerError, ShardError
from ingestgate.assets.receipts import clear_failure, write_failure
from ingestgate.assets.shard import Shard
from ingestgate.quarantine.vault import Vault
from ingestgate.transforms.committing import Committer
from ingestgate.transforms.progress import ProgressNotes
from ingestgate.transforms.records import RangeOutcome, ShardOutcome
from ingestgate.transforms.settings import RunSettings, open_judge


@beam.typehints.with_input_types(KV[str, Iterable[RangeOutcome]])
@beam.typehints.with_output_types(ShardOutcome)
class CommitShard(beam.DoFn):
    """``(shard name, RangeOutcomes)`` -> `ShardOutcome`."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        """Opens the vault for writing, once per process."""
        settings = self._settings
        lists = open_judge(
            settings.policy, settings.lists, settings.lists_digest, settings.suppressions
        ).lists
        if settings.dry_run:
            return
        vault = Vault(settings.quarantine, settings.recipients)
        self._committer = Committer(settings, lists, vault, ProgressNotes(settings.progress))

    def process(self, element: tuple[str, Iterable[RangeOutcome]]) -> Iterator[ShardOutcome]:
        """Commits one shard, or notes why it cannot be."""
        name, delivered = element
        # A runner may deliver an outcome twice; ranges are told apart by their number.
        outcomes = {outcome.work.number: outcome for outcome in delivered}
        ordered = [outcomes[number] for number in sorted(outcomes)]
        shard = ordered[0].shard
        problem = next((outcome.problem for outcome in ordered if outcome.problem), "")
        if not problem:
            problem = self._commit(shard, ordered)
        if problem:
            write_failure(self._settings.notes, shard, problem)
        else:
            clear_failure(self._settings.notes, shard)
        yield ShardOutcome(name, problem)

    def _commit(self, shard: Shard, outcomes: list[RangeOutcome]) -> str:
        works = [outcome.work for outcome in outcomes]
        if [work.number for work in works] != list(range(works[0].total)):
            return "not every range of it was judged; run again"
        if self._settings.dry_run:
            return ""
        try:
            with blaming(shard):
                self._committer.commit(shard, works, [outcome.earlier for outcome in outcomes])
        except (ShardError, LedgerError) as error:
            # What was judged does not fit what is there: let the next run judge it anew.
            for work in works:
                storage.delete(ledger.part_path(self._settings.ledger, shard.name, work.number))
            return error.problem if isinstance(error, ShardError) else str(error)
        return ""
