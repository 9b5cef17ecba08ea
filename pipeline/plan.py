"""The plan: which shards there are, and which of them an earlier run has finished."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ingestgate.assets.containers.container import Discovery
from ingestgate.assets.containers.discovery import discover
from ingestgate.assets.containers.purged_folders import is_purged_folder
from ingestgate.assets.errors import InputError
from ingestgate.assets.receipts import finished_receipts
from ingestgate.assets.shard import Shard
from ingestgate.pipeline.covering import covered
from ingestgate.pipeline.overlap import refuse_overlap
from ingestgate.transforms.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has before it.

    Attributes:
        discovery: What the inputs resolve to.
        todo: Shards to judge and commit.
        finished: Shards with a current receipt, or found clean by a rescan with the lists in force.
        again: Names of shards that are to do whatever was judged of them, for they are recalled.
        others: Names of shards that are not to do though the rules in force have not judged them.
    """

    discovery: Discovery
    todo: Sequence[Shard]
    finished: Sequence[Shard]
    again: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


def make_plan(
    inputs: Sequence[str],
    format: str | None,
    settings: RunSettings,
    *,
    resume: bool,
    again: frozenset[str] = frozenset(),
) -> Plan:
    """Lists the shards and drops what an earlier run has finished by the same rules.

    Args:
        inputs: Paths or patterns of the landing zone.
        format: Container format of every input, or None: told from the input.
        settings: The run's settings.
        resume: Whether to drop anything.
        again: Names of shards that are to do in any case.

    Raises:
        UsageError: The inputs and a folder of the run overlap.
        InputError: Nothing matches, or a format is unknown.
    """
    refuse_overlap(
        inputs,
        {
            settings.output: "output",
            settings.quarantine: "quarantine",
            settings.evidence: "evidence",
            settings.lists: "folder of lists",
            **({settings.suppressions.path: "suppressions"} if settings.suppressions.path else {}),
        },
    )
    discovery = _listed(inputs, format, settings)
    # A link inside an input may lead anywhere.
    for root in (settings.output, settings.quarantine, settings.evidence):
        for shard in discovery.shards:
            if f"{root}/".startswith(f"{shard.path}/") or shard.path.startswith(f"{root}/"):
                raise InputError(
                    f"the input {shard.name} lies in {root}, or that in it; "
                    "input, output, quarantine and evidence need folders of their own"
                )
    done = (
        finished_receipts(settings.evidence, settings.output, discovery.shards, settings.context)
        if resume
        else {}
    )
    names = set(done)
    if resume:
        rest = [shard for shard in discovery.shards if shard.name not in done]
        names |= {shard.name for shard in covered(rest, settings)}
    names -= again
    todo = [shard for shard in discovery.shards if shard.name not in names]
    finished = [shard for shard in discovery.shards if shard.name in names]
    return Plan(discovery, todo, finished, again)


def _listed(inputs: Sequence[str], format: str | None, settings: RunSettings) -> Discovery:
    return discover(inputs, format, partial(is_purged_folder, settings.evidence))


def is_current(
    plan: Plan, inputs: Sequence[str], format: str | None, settings: RunSettings
) -> bool:
    """Whether the inputs are still what a plan was made of; arguments as of `make_plan`.

    Where a purge has ended since, what is there now must not go by the identity of what was there.

    Raises:
        InputError: They do not resolve any more.
    """
    return _listed(inputs, format, settings) == plan.discovery


def still_to_do(plan: Plan, settings: RunSettings, again: frozenset[str] = frozenset()) -> Plan:
    """Returns a plan without what another run has finished since it was made.

    A plan is made before the run holds its lock, so that a run that is refused leaves nothing.
    ``again`` is as of `make_plan`, by now.
    """
    done = finished_receipts(settings.evidence, settings.output, plan.todo, settings.context)
    names = set(done) - again
    if not names:
        return plan
    todo = [shard for shard in plan.todo if shard.name not in names]
    finished = [shard for shard in plan.todo if shard.name in names]
    every = sorted([*plan.finished, *finished])
    return replace(plan, todo=todo, finished=every, again=plan.again & again)
