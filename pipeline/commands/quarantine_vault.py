"""``ingestgate quarantine open``, ``check``, ``rewrap``, ``destroy``: the vault, for people."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.errors import UsageError, VaultError
from ingestgate.pipeline.commands.values import SeveralValuesCommand, several
from ingestgate.pipeline.exit_codes import ExitCode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ingestgate.quarantine.checking import VaultCheck

_ROOT = click.option(
    "--quarantine",
    "root",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="The quarantine of the run.",
)
_FILE = click.Path(exists=True, dir_okay=False)
_KEY = click.option(
    "--key",
    type=_FILE,
    metavar="FILE",
    help="Your private signing key: the audit log says who it was. Needed once it knows people.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(name="open")
@_ROOT
@click.option(
    "--identity",
    required=True,
    type=_FILE,
    metavar="FILE",
    help="The secret age identity of one of the recipients.",
)
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder that the sample's files are written to (made private).",
)
@_KEY
@click.argument("asset_id")
def open_(root: str, identity: str, to: str, key: str | None, asset_id: str) -> None:
    """Open the sealed sample of one asset. For people whose task it is, and no one else.

    The start of the asset's id will do. It is on record in the audit log before anything is
    written; what cannot be logged is refused.
    """
    from ingestgate.assets import storage
    from ingestgate.quarantine.inventory import rows_of
    from ingestgate.quarantine.opening import open_object, read_identities

    identities = read_identities(identity)
    rows = rows_of(root, asset_id)
    path = _last_copy(root, rows)
    files = open_object(root, path, identities)
    _log_person(root, "asset.opened", {"asset": rows[0]["asset_id"], "object": path}, key)
    for name, content in files:
        target = str(Path(to) / name)
        storage.write_bytes(target, content, private=True)
        click.echo(target)


def _last_copy(root: str, rows: Sequence[dict[str, Any]]) -> str:
    """Returns the path of the latest copy that is not destroyed."""
    from ingestgate.quarantine.destruction_receipts import FOLDER, read_receipt
    from ingestgate.quarantine.layout import id_of

    gone: list[str] = []
    for row in reversed(rows):
        path: str = row["sealed_object"]
        sample = id_of(path)
        found = read_receipt(root, sample)
        if found is None or path not in {copy.object for copy in found[0].copies}:
            return path
        gone.append(f"destroyed at {found[0].destroyed_at}, see {FOLDER}/{sample}.dsse.json")
    raise VaultError(f"{rows[0]['asset_id']}: {gone[0]}")


@click.command()
@_ROOT
@click.option(
    "--identity",
    type=_FILE,
    metavar="FILE",
    help="Also open each object, and compare what is inside.",
)
@click.option(
    "--remove-unnamed",
    is_flag=True,
    help="Remove what no manifest names. Not while a run is at work.",
)
@click.option(
    "--accept-manifests",
    is_flag=True,
    help="Put manifests that no run put on record on it now, as they are. Look at them first.",
)
@_JSON
@click.pass_context
def check(
    ctx: click.Context,
    root: str,
    identity: str | None,
    remove_unnamed: bool,
    accept_manifests: bool,
    as_json: bool,
) -> None:
    """Check that the quarantine holds what its manifests say, unchanged, and no more.

    Every manifest is compared with the digests that runs put in the audit log: a row that was
    edited, dropped or put in is named. Every object is compared with its digest; its key file must
    be there. With --identity each is opened as well. What was destroyed is accepted with its
    receipt, if both people that it names have signed it and the audit log knows them. Ends with 5
    if anything is wrong, and names it.

    A run that was killed may leave copies that no manifest names: run it to its end, then remove
    them with --remove-unnamed. It may leave a manifest that is not on record, too: the same run
    puts it there. Where that run is no more, --accept-manifests does.
    """
    from ingestgate.quarantine.audit_writing import append_machine, audit_writer
    from ingestgate.quarantine.checking import check_vault
    from ingestgate.quarantine.checking import remove_unnamed as remove
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.manifest_checking import unlogged
    from ingestgate.quarantine.opening import opener, read_identities
    from ingestgate.quarantine.sealed_manifests import put_on_record, sealed_manifests

    ctx.find_root().obj = "json" if as_json else None
    removed: list[str] = []
    if remove_unnamed:
        with quarantine_lock(root, alone=True):
            removed = remove(root)
            if removed:
                append_machine(root, "vault.unnamed_removed", {"files": removed})
    if accept_manifests:
        with quarantine_lock(root, alone=True), audit_writer(root) as writer:
            strange = unlogged(root, sealed_manifests(writer.lines))
            put_on_record(writer, strange, None, accepted="by a person, not by a run")
    with _progress("check", quiet=as_json) as progress:
        found = check_vault(
            root,
            opener=opener(read_identities(identity)) if identity else None,
            trusted=_everybody(root),
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "removed": removed}))
    else:
        _show_check(found, removed, opened=identity is not None)
    ctx.exit(int(ExitCode.EVIDENCE_REFUSED if found.faults else ExitCode.DONE))


def _show_check(found: "VaultCheck", removed: Sequence[str], *, opened: bool) -> None:
    for path in removed:
        click.echo(f"removed: {path}")
    for fault in found.faults:
        click.echo(f"{fault.problem}: {fault.detail}")
        for asset in fault.assets:
            click.echo(f"  asset {asset}")
    click.echo(
        f"{found.manifests:,} manifests on record; "
        f"{found.objects:,} objects named: {found.sound:,} sound, {found.destroyed:,} destroyed"
        + (f", {found.opened:,} opened" if opened else "")
        + f"; {len(found.faults):,} problems"
    )


@click.command(cls=SeveralValuesCommand)
@_ROOT
@click.option(
    "--identity",
    required=True,
    type=_FILE,
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
@_JSON
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
    --recipient. The audit log has it before and after. What the identity does not open stays as it
    was, is named, and the command ends with 1; if it opens nothing, nothing is changed.

    \b
    Example:
      ingestgate quarantine rewrap --quarantine vault --identity old-secret.txt \\
        --recipient new-recipients.txt
    """  # noqa: D301 - \b is click's own
    from ingestgate.quarantine.inventory import rows_of
    from ingestgate.quarantine.keys import read_recipients
    from ingestgate.quarantine.layout import id_of
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.opening import read_identities
    from ingestgate.quarantine.rewrapping import rewrap as rewrap_keys

    ctx.find_root().obj = "json" if as_json else None
    identities, to = read_identities(identity), read_recipients(recipients)
    samples = frozenset(
        id_of(row["sealed_object"]) for asset in assets for row in rows_of(root, asset)
    )
    about = {"recipients": list(to), "samples": sorted(samples) or "all"}
    with quarantine_lock(root, alone=True), _progress("rewrap", quiet=as_json) as progress:
        _log_person(root, "vault.rewrap_begun", about, key)
        done = rewrap_keys(root, identities, to, samples=samples or None, progress=progress)
        counts = {"keys": done.done, "unopened": len(done.unopened)}
        _log_person(root, "vault.rewrap_done", {**about, **counts}, key)
    if as_json:
        unopened = [path for path, _ in done.unopened]
        click.echo(
            json.dumps({"rewrapped": done.done, "recipients": list(to), "unopened": unopened})
        )
    else:
        click.echo(f"{done.done:,} keys sealed to {len(to)} recipients")
        for _, problem in done.unopened:
            click.echo(f"as it was: {problem}")
    ctx.exit(int(ExitCode.FAILED if done.unopened else ExitCode.DONE))


@click.command()
@_ROOT
@click.option("--key", required=True, type=_FILE, metavar="FILE", help="Your private signing key.")
@click.option("--reason", metavar="TEXT", help="Why; stays on record, with your name.")
@click.option("--approve", metavar="ORDER", help="Approve this order, and carry it out.")
@click.option(
    "--others-too",
    is_flag=True,
    help="Confirm that assets in the same sealed samples fall as well.",
)
@_JSON
@click.argument("assets", nargs=-1)
@click.pass_context
def destroy(ctx: click.Context, /, **options: Any) -> None:
    """Destroy sealed samples for good. Takes two people: one asks, another approves.

    Who they are says the audit log, which knows people by their keys (see: ingestgate quarantine
    reviewers). A reviewer can ask; it takes an approver to approve.

    Asking (with --reason) destroys nothing: it writes a signed order, and prints its id. Approving
    (with --approve) overwrites and deletes the key files of every copy of the samples, in every
    judging, then deletes the objects, and leaves a receipt signed by who approved. Interrupted,
    approve again.

    Manifests stay: what was caught, with its digests and sources, remains on record. Backups of
    key files have to go by their own means.

    \b
    Example:
      ingestgate quarantine destroy --quarantine vault --key alice.pem \\
        --reason 'as asked on ...' 75fa4bfe
      ingestgate quarantine destroy --quarantine vault --key bob.pem --approve 3f9c20d1a7e4b856
    """  # noqa: D301 - \b is click's own
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.audit_writing import audit_writer
    from ingestgate.quarantine.destroying import Person, approve, request
    from ingestgate.quarantine.destruction_receipts import FOLDER
    from ingestgate.quarantine.inventory import rows_of
    from ingestgate.quarantine.locking import quarantine_lock
    from ingestgate.quarantine.reviewers import Role, act, registry

    as_json, root = options["as_json"], options["root"]
    ctx.find_root().obj = "json" if as_json else None
    if bool(options["approve"]) == bool(options["assets"]):
        raise UsageError("name either assets to ask for, or an order to --approve")
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
                *(root, assets, options["reason"], person, note), others_too=options["others_too"]
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
            f"destroyed {len(each.copies)} copies of {', '.join(each.assets)}; "
            f"receipt: {FOLDER}/{each.sample}.dsse.json"
        )


def _log_person(root: str, event: str, fields: Mapping[str, Any], path: str | None) -> None:
    """Puts on record what a person is about to do, or has done; by name once people are known."""
    from ingestgate.assets.signing_keys import read_signing_key
    from ingestgate.quarantine.audit_writing import append_machine
    from ingestgate.quarantine.reviewers import Role, registry

    known = registry(root)
    key = read_signing_key(path) if path else None
    if known.people:
        if key is None:
            raise UsageError("the audit log knows people: name your signing key with --key")
        known.holder(key, Role.VIEWER)
    elif event == "asset.opened":
        event = "vault.opened"  # that it was, though nobody can say by whom
    append_machine(root, event, fields, key)


def _everybody(root: str) -> "dict[str, Ed25519PublicKey] | None":
    """Returns the keys of all whom the audit log knows or knew; None if it never knew anybody."""
    from ingestgate.assets.signing_keys import parse_public_line
    from ingestgate.quarantine.audit import read_log
    from ingestgate.quarantine.reviewers import ADDED, registry

    registry(root)
    lines = [line.fields for line in read_log(root) if line.event == ADDED]
    return {str(each["name"]): parse_public_line(str(each["key"])) for each in lines} or None


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
