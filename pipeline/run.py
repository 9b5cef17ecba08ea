"""One run, from the landing zone to the report."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import ledger, storage
from ingestgate.assets.bound_output import bind_output, require_output
from ingestgate.assets.containers.discovery import shown
from ingestgate.assets.errors import GateError, UsageError
from ingestgate.assets.evidence import evidence_id
from ingestgate.assets.purges import refuse_unfinished
from ingestgate.assets.receipts import (
    NOT_TRIED,
    carry_failures,
    read_failures,
    receipt_path,
)
from ingestgate.assets.shard import Shard
from ingestgate.assets.signing_keys import read_signing_key
from ingestgate.assets.withdrawn_receipts import note_withdrawal
from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.remembered import remember
from ingestgate.blocklists.suppressions import Suppressions
from ingestgate.pipeline import summary
from ingestgate.pipeline.certificate.certifying import CertifyRequest, certify
from ingestgate.pipeline.contexts import record_context
from ingestgate.pipeline.exit_codes import exit_code
from ingestgate.pipeline.list_opening import open_lists
from ingestgate.pipeline.lock import output_lock, run_lock
from ingestgate.pipeline.overlap import refuse_nested
from ingestgate.pipeline.plan import Plan, is_current, make_plan, still_to_do
from ingestgate.pipeline.progress import ProgressDisplay
from ingestgate.pipeline.recalling import (
    close_recalls,
    open_recalls,
    recalled_plan,
    recalled_shards,
    to_forget,
)
from ingestgate.pipeline.run_events import RunEvents
from ingestgate.pipeline.run_policy import policy_of
from ingestgate.pipeline.run_report import run_report
from ingestgate.pipeline.runners import RunFailedError, check_beam_options, run_job
from ingestgate.quarantine.keys import read_recipients
from ingestgate.quarantine.locking import quarantine_lock, sweep_quarantine
from ingestgate.quarantine.rewraps import require_access
from ingestgate.quarantine.vault import Vault
from ingestgate.transforms.earlier_manifests import earlier_manifests
from ingestgate.transforms.earlier_matches import EarlierManifest
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import RunSettings, open_judge, release_judge


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was asked for on the command line.

    Attributes:
        inputs: Paths or patterns of the landing zone.
        output, quarantine, evidence, lists: Root folders.
        recipients: ``age1...`` strings or files of them.
        format: Container format of every input, or None: told from the input.
        policy_file: YAML file of the policy, or None: the defaults.
        workers: Local worker processes.
        resume: Keep what an earlier run has finished.
        dry_run: Judge and report only.
        list_state: File that remembers which lists were seen, or None.
        certificate_keys: Files of private keys that sign the certificate. Paths only: a key is
            read here, in the driver, and goes into no setting that workers get.
        recall: Do only the shards that open recall notices name, and close these.
        suppressions: File or folder of signed suppressions, or None.
        beam_options: Arguments for Beam.
    """

    inputs: Sequence[str]
    output: str
    quarantine: str
    evidence: str
    lists: str
    recipients: Sequence[str]
    format: str | None = None
    policy_file: str | None = None
    workers: int = 1
    resume: bool = True
    dry_run: bool = False
    list_state: str | None = None
    certificate_keys: Sequence[str] = ()
    recall: bool = False
    suppressions: str | None = None
    beam_options: Sequence[str] = ()


def run(request: RunRequest, display: ProgressDisplay) -> dict[str, Any]:
    """Does a run and writes its report.

    Everything that can be refused is refused before the first byte of an asset is read: the
    policy, the lists, the suppressions, the recipients, the inputs. A failure after that is in
    the report.

    Returns:
        The report; its ``exit_code`` is what the command ends with.

    Raises:
        GateError: The run was refused; nothing was read or written.
    """
    started = time.monotonic()
    started_at = datetime.now(UTC)
    check_beam_options(request.beam_options)
    if request.beam_options:
        storage.use_beam_options(request.beam_options)
    policy = policy_of(request.policy_file)
    lists = open_lists(request.lists, policy, datetime.now(UTC), request.list_state)
    suppressions = Suppressions.open(
        request.suppressions, policy.trust.for_suppressions(), now=datetime.now(UTC)
    )
    recipients = read_recipients(request.recipients) if _seals(request) else ()
    keys = [read_signing_key(path) for path in request.certificate_keys]
    if keys and request.dry_run:
        raise UsageError("a dry run admits nothing that could be certified; leave one of them out")
    settings = _settings(request, policy, lists, suppressions, recipients)
    _refuse_half_purged(settings.evidence)
    require_output(settings.evidence, settings.output)
    plan = _planned(request, settings, lists)
    with run_lock(settings.evidence), _notes() as notes:
        refuse_unfinished(settings.evidence)  # what began since and was killed
        require_output(settings.evidence, settings.output)
        if not is_current(plan, request.inputs, request.format, settings):
            plan = _planned(request, settings, lists)
        elif request.resume:
            plan = still_to_do(plan, settings, recalled_shards(settings, lists))
        refuse_nested(plan.discovery.shards, settings.evidence)
        others = summary.of_other_content(plan.todo, settings)
        if request.list_state is not None and not settings.dry_run:
            remember(request.list_state, lists.infos)  # before anything goes by them
        settings = replace(settings, evidence_id=evidence_id(settings.evidence))
        record_context(settings, lists, suppressions)
        events = RunEvents(settings, lists, suppressions, keys[0] if keys else None)
        began, error = _do(request, replace(settings, progress=notes), plan, display, events)
        if error is None and not settings.dry_run:
            error = _close_recalls(settings, keys, every=request.recall)
        seconds = time.monotonic() - started
        # What stood before a run that did not come to judging is none of its work.
        figures = summary.add_up(plan.todo if began else (), plan.finished, settings, others)
        failed = _failed_of(plan, settings)
        report = run_report(
            *(settings, plan, lists, suppressions, figures, failed, error, started_at, seconds)
        )
        report |= {"run": events.run, "manifests": [each._asdict() for each in events.sealed]}
        if keys and error is None:
            report |= _certify(settings, keys)
        if not settings.dry_run:
            report |= _logged(events, report)
        summary.write_report(settings.evidence, report, figures.counted)
    return report


def _notes() -> tempfile.TemporaryDirectory[str]:
    """Returns a folder for progress notes.

    A run that was interrupted may still have threads that write there while it is removed; that
    is no reason to say anything else than that it was interrupted.
    """
    return tempfile.TemporaryDirectory(prefix="ingestgate-", ignore_cleanup_errors=True)


def _close_recalls(
    settings: RunSettings, keys: Sequence[Ed25519PrivateKey], *, every: bool
) -> GateError | None:
    """Closes the recalls that are done with, or insists on ``every``; returns why not, if so."""
    try:
        close_recalls(settings, keys[0] if keys else None)
        if every and (left := open_recalls(settings.evidence)):
            return RunFailedError(
                f"recall {left[0].id} is still open ({len(left)} such): what it names was judged, "
                "but not later than it, by the clocks of the machines; set them, and run again"
            )
    except GateError as error:
        return error
    return None


def _logged(events: RunEvents, report: dict[str, Any]) -> dict[str, Any]:
    """Puts on record how a run ended; returns what the report says if that cannot be."""
    try:
        events.end(report, summary.report_digest(report))
    except GateError as error:
        if report["error"] is None:
            return _failed(error)
    return {}


def _failed(error: GateError) -> dict[str, Any]:
    return {"status": "failed", "exit_code": int(exit_code(error)), "error": str(error)}


def _refuse_half_purged(evidence: str) -> None:
    """Refuses what a purge has left half done, or is doing.

    Raises:
        UsageError: It was interrupted.
        RunInProgressError: It is at work: the lock tells one from the other.
    """
    try:
        refuse_unfinished(evidence)
    except UsageError:
        with run_lock(evidence):
            refuse_unfinished(evidence)


def _planned(request: RunRequest, settings: RunSettings, lists: ListSet) -> Plan:
    """Returns what is to do, once a judge has shown that it catches what it must."""
    plan = make_plan(
        request.inputs,
        request.format,
        settings,
        resume=request.resume,
        again=recalled_shards(settings, lists),
    )
    if request.recall:
        plan = recalled_plan(plan, settings, lists)
    if plan.todo:
        _show_that_it_catches(settings, request)
    return plan


def _show_that_it_catches(settings: RunSettings, request: RunRequest) -> None:
    """Opens a judge as every worker will."""
    open_judge(settings.policy, settings.lists, settings.lists_digest, settings.suppressions)
    if request.workers > 1:
        release_judge()  # it is the workers' processes that judge


def _certify(settings: RunSettings, keys: Sequence[Ed25519PrivateKey]) -> dict[str, Any]:
    """Certifies what a run that ended well has admitted; returns what the report says of it."""
    request = CertifyRequest(
        output=settings.output,
        evidence=settings.evidence,
        quarantine=settings.quarantine,
        context=settings.context,
        lists_digest=settings.lists_digest,
        dataset=shown(settings.dataset),
        rehash=False,  # the digests were taken of what was written; who verifies takes them again
    )
    try:
        done = certify(request, keys, datetime.now(UTC))
    except GateError as error:
        return _failed(error)
    return {"certificate": {"path": done.path, "digest": done.digest}}


def _seals(request: RunRequest) -> bool:
    # A dry run seals nothing; recipients that are given are looked at all the same.
    return not request.dry_run or bool(request.recipients)


def _settings(
    request: RunRequest,
    policy: Policy,
    lists: ListSet,
    suppressions: Suppressions,
    recipients: tuple[str, ...],
) -> RunSettings:
    roots = [
        storage.absolute(root)
        for root in (request.output, request.quarantine, request.evidence, request.lists)
    ]
    if suppressions.source.path:
        roots.append(suppressions.source.path)
    for root in roots[:3]:
        if file := storage.file_in_the_way(root):
            raise UsageError(f"{file}: is a file; move it away, or name a folder")
    for number, root in enumerate(roots):
        for other in roots[number + 1 :]:
            if f"{root}/".startswith(f"{other}/") or f"{other}/".startswith(f"{root}/"):
                raise UsageError(
                    f"{root} and {other}: output, quarantine, evidence, lists and suppressions "
                    "need folders of their own, none inside another"
                )
    output, quarantine, evidence, list_folder = roots[:4]
    return RunSettings(
        policy=policy,
        lists=list_folder,
        lists_digest=lists.digest,
        output=output,
        quarantine=quarantine,
        evidence=evidence,
        dataset=" ".join(request.inputs),
        recipients=recipients,
        progress="",
        software=version("ingestgate"),
        dry_run=request.dry_run,
        suppressions=suppressions.source,
    )


def _do(
    request: RunRequest,
    settings: RunSettings,
    plan: Plan,
    display: ProgressDisplay,
    events: RunEvents,
) -> tuple[bool, GateError | None]:
    """Does what is to do, and puts it on record; returns as `_do_shards`."""
    began, error = _do_shards(request, settings, plan, display, events)
    there = storage.is_remote(settings.quarantine) or storage.exists(settings.quarantine)
    if there and not settings.dry_run:
        try:
            events.seal(plan.discovery.shards)
        except GateError as unlogged:
            return began, error or unlogged
    return began, error


def _do_shards(
    request: RunRequest,
    settings: RunSettings,
    plan: Plan,
    display: ProgressDisplay,
    events: RunEvents,
) -> tuple[bool, GateError | None]:
    """Does what is to do; returns whether it came to judging, and what went wrong."""
    began = False
    try:
        if not settings.dry_run:
            storage.make_directory(settings.quarantine, private=True)
            Vault(settings.quarantine, settings.recipients)
        with ExitStack() as held:
            if not settings.dry_run:
                sweep_quarantine(settings.quarantine)
                held.enter_context(quarantine_lock(settings.quarantine, alone=False))
                require_access(settings.quarantine, settings.recipients)
                held.enter_context(output_lock(settings.output))
                storage.sweep(settings.output)
            storage.sweep(settings.evidence)
            shards = plan.discovery.shards
            earlier = earlier_manifests(settings, shards, plan.todo)
            if plan.todo and not settings.dry_run:
                storage.require_writable(settings.output)
                bind_output(settings.evidence, settings.output)
                events.begin(plan.todo, request.inputs)
            carry_failures(settings.notes, plan.todo, plan.others)
            _forget(plan.todo if not request.resume else to_forget(plan, settings), settings)
            began = True
            if plan.todo:
                _judge_and_commit(request, settings, plan, display, earlier)
        _refuse_undone(settings, plan)
        if not settings.dry_run:
            storage.delete_tree(settings.tried)  # taken over, or of other rules by now
    except GateError as error:
        return began, error
    return began, None


def _refuse_undone(settings: RunSettings, plan: Plan) -> None:
    """Refuses to call a run done that left a shard undone.

    Raises:
        RunFailedError: There is one.
    """
    noted = _failed_of(plan, settings)
    done = summary.tallies(plan.todo, settings)
    lost = [name for name in _untold(plan, noted) if name not in done]
    if lost:
        # A runner that says DONE is not believed: what counts is what is there.
        raise RunFailedError(
            f"the runner ended without doing {len(lost)} shards, {lost[0]} among them"
        )
    if failed := len(noted):
        raise RunFailedError(
            f"{failed} of {len(plan.discovery.shards)} shards could not be done; "
            "everything else is. Mend or remove them, and run again"
        )


def _failed_of(plan: Plan, settings: RunSettings) -> dict[str, str]:
    """Returns why shards that were to do could not be done; others may have failed before."""
    todo = {shard.name for shard in plan.todo}
    return {n: problem for n, problem in read_failures(settings.notes).items() if n in todo}


def _untold(plan: Plan, noted: Mapping[str, str]) -> list[str]:
    """Returns the names of the shards that this run has not said of that they failed."""
    return [s.name for s in plan.todo if noted.get(s.name, NOT_TRIED) == NOT_TRIED]


def _forget(shards: Sequence[Shard], settings: RunSettings) -> None:
    """Removes what earlier runs judged of some shards; a dry run only what dry runs did.

    Receipts first: none may stand for a ledger that is gone. What they name is on record by now,
    and a note says of what the output holds that it has none.
    """
    for shard in shards:
        receipt = receipt_path(settings.evidence, shard.name)
        output = storage.join(settings.output, shard.name)
        # What has a receipt was let in, if not here, then where the output was before.
        admitted = not settings.dry_run and (storage.exists(receipt) or storage.is_there(output))
        if admitted:
            note_withdrawal(settings.evidence, shard.name, forgotten=False)
        if not settings.dry_run:
            storage.delete(receipt)
            storage.delete_tree(ledger.part_folder(f"{settings.tried}/ledger", shard.name))
        storage.delete_tree(ledger.part_folder(settings.ledger_of(shard.name), shard.name))
        if admitted:
            note_withdrawal(settings.evidence, shard.name, forgotten=True)


def _judge_and_commit(
    request: RunRequest,
    settings: RunSettings,
    plan: Plan,
    display: ProgressDisplay,
    earlier: Mapping[str, Sequence[EarlierManifest]],
) -> None:
    from ingestgate.pipeline.graph import build

    with display.running(plan, settings) as poll:
        run_job(
            lambda pipeline: build(pipeline, plan.todo, settings, earlier),
            request.beam_options,
            workers=request.workers,
            poll=poll,
        )
