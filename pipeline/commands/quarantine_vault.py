"""``ingestgate quarantine open``, ``check``, ``rewrap``, ``destroy``: the vault, for people."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.errors import EvidenceError, UsageError, VaultError
from ingestgate.assets.printable import counted, printable
from ingestgate.pipeline.commands.on_record import permitted, put_on_record
from ingestgate.pipeline.commands.options import FILE, JSON, QUARANTINE, SAMPLES
from ingestgate.pipeline.commands.progress_bar import progress_bar
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode

if TYPE_CHECKING:
    from ingestgate.quarantine.checking import VaultCheck

_KEY = click.option(
    "--key",
    type=FILE,
    metavar="FILE",
    help="Your private signing key: the audit log says who it was. Needed once it knows people.",
)


@click.command(name="open")
@QUARANTINE
@click.option(
    "--identity",
    required=True,
    type=FILE,
    metavar="FILE",
    help="The secret age identity of one of the recipients.",
)
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder below which the sample's files are written, into a new one named for the asset. "
    "Made private, or it has to be. Not in a folder that a run reads or writes.",
)
@click.option(
    "--sample",
    metavar="ID",
    help="The sample that is meant, where an asset's id stands for several contents.  [default: "
    "the latest]",
)
@_KEY
@click.argument("asset_id")
def open_(
    root: str, identity: str, to: str, sample: str | None, key: str | None, asset_id: str
) -> None:
    """Open the sealed sample of one asset. For people whose task it is, and no one else.

    The start of the asset's id will do. It is on record in the audit log before anything is
    written; what cannot be logged is refused. So is what is not, byte for byte, what the manifest
    says, and a manifest that is not the one on record (both end with 5). Of an asset that was
    sealed several times it is the latest. Nothing is overwritten.
    """
    from ingestgate.quarantine import opened
    from ingestgate.quarantine.audit_writing import require_sound_log
    from ingestgate.quarantine.inventory import rows_of
    from ingestgate.quarantine.layout import id_of
    from ingestgate.quarantine.opening import open_as_sealed, read_identities
    from ingestgate.quarantine.outside import require_apart

    require_sound_log(root)
    identities = read_identities(identity)
    rows = rows_of(root, asset_id)
    asset = rows[0]["asset_id"]
    if sample is not None:
        rows = [row for row in rows if id_of(row["sealed_object"]) == sample]
        if not rows:
            raise UsageError(f"{asset}: nothing was sealed of it in that sample; see `show`")
    folder = opened.new_folder(to, asset)
    require_apart(root, to)
    row = _last_copy(root, rows)
    files = open_as_sealed(root, row, identities)
    put_on_record(root, "asset.opened", {"asset": asset, "object": row["sealed_object"]}, key)
    for written in opened.write(folder, files):
        click.echo(printable(written))


def _last_copy(root: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the row of the latest copy that is not destroyed."""
    from ingestgate.quarantine.audit import read_log
    from ingestgate.quarantine.destroyed import Destructions, covers
    from ingestgate.quarantine.destruction_receipts import FOLDER
    from ingestgate.quarantine.inventory import objects_named_in
    from ingestgate.quarantine.layout import id_of

    destructions = Destructions(root, read_log(root))
    gone: list[str] = []
    for row in rows[::-1]:
        ((path, named),) = objects_named_in([row]).items()
        sample = id_of(path)
        try:
            found = destructions.receipt(sample)
            if found is None or not covers(found, named):
                return row
        except EvidenceError:  # a receipt that does not hold excuses nothing
            return row
        gone.append(f"destroyed at {found.destroyed_at}, see {FOLDER}/{sample}.dsse.json")
    raise VaultError(f"{rows[0]['asset_id']}: {gone[0]}")


@click.command()
@QUARANTINE
@click.option(
    "--identity",
    type=FILE,
    metavar="FILE",
    help="Also open each object, and compare what is inside.",
)
@click.option(
    "--remove-unnamed",
    is_flag=True,
    help="Remove copies that no manifest names and another copy makes superfluous. Not while a "
    "run is at work.",
)
@click.option(
    "--accept-manifests",
    is_flag=True,
    help="Put manifests that no run put on record on it now, as they are. Look at them first.",
)
@click.option(
    "--evidence",
    "evidence",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Evidence of a run into it: also hold the manifests against its receipts.",
)
@_KEY
@JSON
@click.pass_context
def check(
    ctx: click.Context,
    root: str,
    identity: str | None,
    remove_unnamed: bool,
    accept_manifests: bool,
    evidence: Sequence[str],
    key: str | None,
    as_json: bool,
) -> None:
    """Check that the quarantine holds what its manifests say, unchanged, and no more.

    Every manifest is compared with the digests that runs put in the audit log: a row that was
    edited, dropped or put in is named. Every object and its key file are compared with their
    digests. With --identity each is opened as well. What was destroyed is accepted with its
    receipt, if the audit log has its destruction and both people that it names have signed it with
    the keys they had then. Ends with 5 if anything is wrong, and names it; with 1 if it
    may be the doing of somebody who was at work meanwhile.

    With --evidence the manifests are also compared with the receipts of the run that sealed them.

    A run that was killed may leave copies that no manifest names: run it to its end, then remove
    them with --remove-unnamed. A run that judges a shard again by the same rules (--no-resume)
    seals it anew, and leaves the first copies so. A killed one may leave a manifest that is not on
    record, too: the same run puts it there. Where that run is no more, --accept-manifests does.
    Both take an approver's --key once the audit log knows people, and are on record first. Nothing
    is removed while a manifest is missing, changed or not on record, nor what may be all that is
    left of a sample.
    """
    from ingestgate.assets.evidence import require_evidence
    from ingestgate.quarantine.checking import check_vault
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.opening import opener, read_identities
    from ingestgate.quarantine.presence import require_quarantine

    require_quarantine(root)
    for folder in evidence:
        require_evidence(folder)
    removed: list[str] = []
    if accept_manifests:
        with quarantine_lock(root, alone=True):
            _accept_manifests(root, key)
    if remove_unnamed:
        with quarantine_lock(root, alone=True):
            removed = _remove_superfluous(root, key)
    with progress_bar("check", quiet=as_json) as progress:
        found = check_vault(
            root,
            opener=opener(read_identities(identity)) if identity else None,
            evidence=evidence,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "removed": removed}))
    else:
        _show_check(found, removed, opened=identity is not None)
    if found.at_work:
        ctx.exit(int(ExitCode.FAILED))
    ctx.exit(int(ExitCode.EVIDENCE_REFUSED if found.faults else ExitCode.DONE))


def _accept_manifests(root: str, key: str | None) -> None:
    from ingestgate.quarantine import sealed_manifests as sealed
    from ingestgate.quarantine.audit_writing import audit_writer
    from ingestgate.quarantine.manifest_checking import unlogged

    with audit_writer(root) as writer:
        private = permitted(writer.lines, sealed.ACCEPTED, key)
        strange = unlogged(root, sealed.sealed_manifests(writer.lines))
        sealed.put_on_record(writer, strange, private, event=sealed.ACCEPTED)


def _remove_superfluous(root: str, key: str | None) -> list[str]:
    """Removes copies that earlier runs left, once that is on record; returns their paths."""
    from ingestgate.quarantine import surplus
    from ingestgate.quarantine.audit_writing import audit_writer, per_line

    with audit_writer(root) as writer:
        private = permitted(writer.lines, surplus.REMOVING, key)
        paths = surplus.superfluous(root, writer.lines)
        for part in per_line(paths):
            writer.add(surplus.REMOVING, {"files": part}, private)
    surplus.remove(root, paths)
    return paths


def _show_check(found: "VaultCheck", removed: Sequence[str], *, opened: bool) -> None:
    for path in removed:
        click.echo(f"removed: {path}")
    for fault in found.faults:
        click.echo(printable(f"{fault.problem}: {fault.detail}"))
        for asset in fault.assets:
            click.echo(f"  asset {asset}")
    click.echo(
        f"{counted(found.manifests, 'manifest')} on record; "
        f"{counted(found.objects, 'object')} named: {found.sound:,} sound, "
        f"{found.destroyed:,} destroyed"
        + (f", {found.opened:,} opened" if opened else "")
        + f"; {counted(len(found.faults), 'problem')}"
    )
    if found.at_work:
        click.echo("somebody is at work on it, who may be why; wait for them, then check again")


@click.command(cls=SeveralValuesCommand)
@QUARANTINE
@click.option(
    "--identity",
    required=True,
    type=FILE,
    metavar="FILE",
    help="A secret age identity that opens the quarantine as it is.",
)
@several(
    "--recipient",
    "recipients",
    required=True,
    metavar="FILE|age1...",
    help="Who can open it from now on: all of them, those who stay too.",
)
@several(
    "--asset",
    "assets",
    metavar="ID...",
    help="Only the samples of these assets.  [default: all]",
)
@_KEY
@JSON
@click.pass_context
def rewrap(
    ctx: click.Context,
    root: str,
    identity: str,
    recipients: Sequence[str],
    assets: Sequence[str],
    key: str | None,
    as_json: bool,
) -> None:
    """Change who can open the quarantine: seal its keys to other recipients.

    Only the small key files are sealed anew; no object is touched. Interrupted, the same command
    takes it up. Who loses access keeps what they have copied before. recipients.json then says
    whom the quarantine is sealed to, and a run refuses recipients that lost access: change its
    --recipient. The audit log has it before and after; once it knows people, it takes an
    administrator. What the identity does not open, or is not the key file that was sealed, stays as
    it was, is named, and the command ends with 1; if it opens nothing, nothing is changed.

    \b
    Example:
      ingestgate quarantine rewrap --quarantine vault --identity old-secret.txt \\
        --recipient new-recipients.txt
    """  # noqa: D301 - \b is click's own
    from ingestgate.quarantine.audit_writing import require_sound_log
    from ingestgate.quarantine.inventory import rows_of
    from ingestgate.quarantine.keys import read_recipients
    from ingestgate.quarantine.layout import id_of
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.opening import read_identities
    from ingestgate.quarantine.rewrapping import rewrap as rewrap_keys

    require_sound_log(root)
    identities, to = read_identities(identity), read_recipients(recipients)
    samples = frozenset(
        id_of(row["sealed_object"]) for asset in assets for row in rows_of(root, asset)
    )

    def note(event: str, fields: Mapping[str, Any]) -> None:
        put_on_record(root, event, fields, key)

    with quarantine_lock(root, alone=True), progress_bar("rewrap", quiet=as_json) as progress:
        done = rewrap_keys(root, identities, to, note, samples=samples or None, progress=progress)
    if as_json:
        unopened = [path for path, _ in done.unopened]
        click.echo(
            json.dumps({"rewrapped": done.done, "recipients": list(to), "unopened": unopened})
        )
    else:
        click.echo(f"{counted(done.done, 'key')} sealed to {counted(len(to), 'recipient')}")
        for _, problem in done.unopened:
            click.echo(printable(f"as it was: {problem}"))
    ctx.exit(int(ExitCode.FAILED if done.unopened else ExitCode.DONE))


@click.command()
@QUARANTINE
@click.option("--key", required=True, type=FILE, metavar="FILE", help="Your private signing key.")
@click.option("--reason", metavar="TEXT", help="Why; stays on record, with your name.")
@click.option("--approve", metavar="ORDER", help="Approve this order, and carry it out.")
@SAMPLES
@click.option(
    "--others-too",
    is_flag=True,
    help="Confirm that assets in the same sealed samples fall as well, and all contents of an id.",
)
@JSON
@click.argument("assets", nargs=-1)
def destroy(**options: Any) -> None:
    """Destroy sealed samples for good. Takes two people: one asks, another approves.

    Who they are says the audit log, which knows people by their keys (see: ingestgate quarantine
    reviewers). A reviewer can ask; it takes an approver to approve.

    Asking (with --reason) destroys nothing: it writes a signed order, and prints its id. Approving
    (with --approve) overwrites and deletes the key files of every copy of the samples, in every
    judging, then deletes the objects, and leaves a receipt signed by who approved. Interrupted,
    approve again. What was carried out is not carried out twice: what is sealed again later takes
    another order.

    Where other bytes came to lie in an asset's place, its id stands for several sealed samples:
    name those that are meant with --sample, or confirm all of them with --others-too.

    Manifests stay: what was caught, with its digests and sources, remains on record. Backups of
    key files have to go by their own means.

    \b
    Example:
      ingestgate quarantine destroy --quarantine vault --key alice.pem \\
        --reason 'as asked on ...' 75fa4bfe
      ingestgate quarantine destroy --quarantine vault --key bob.pem --approve 3f9c20d1a7e4b856
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.audit_writing import audit_writer, require_sound_log
    from ingestgate.quarantine.destroying import Person, approve, request
    from ingestgate.quarantine.destruction_receipts import FOLDER
    from ingestgate.quarantine.inventory import rows_of
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.reviewers import Role, act, registry

    as_json, root = options["as_json"], options["root"]
    if bool(options["approve"]) == bool(options["assets"]):
        raise UsageError("name either assets to ask for, or an order to --approve")
    require_sound_log(root)
    key = read_signing_key(options["key"])
    known = registry(root)
    role = Role.APPROVER if options["approve"] else Role.REVIEWER
    person = Person(known.holder(key, role).name, key)

    def note(event: str, fields: Mapping[str, Any]) -> None:
        with audit_writer(root) as writer:
            act(writer, event, fields, key)

    with quarantine_lock(root, alone=True):
        if not options["approve"]:
            assets = [rows_of(root, asset)[0]["asset_id"] for asset in options["assets"]]
            if not options["reason"]:
                raise UsageError("destruction needs a --reason; it stays on record")
            order = request(
                *(root, assets, options["reason"], person, note),
                samples=options["samples"],
                others_too=options["others_too"],
            )
            if as_json:
                click.echo(json.dumps({"order": order.id, **order.model_dump(mode="json")}))
                return
            for sample in order.samples:
                click.echo(f"sample {sample.sample}: {', '.join(sample.assets)}")
            click.echo(f"nothing is destroyed yet; somebody else has to --approve {order.id}")
            return
        trusted = known.keys(Role.REVIEWER)
        receipts = approve(root, options["approve"], person, trusted, note)
    if as_json:
        click.echo(json.dumps({"receipts": [each.model_dump(mode="json") for each in receipts]}))
        return
    for each in receipts:
        click.echo(
            f"destroyed {counted(len(each.copies), 'copy', 'copies')} of {', '.join(each.assets)}; "
            f"receipt: {FOLDER}/{each.sample}.dsse.json"
        )
