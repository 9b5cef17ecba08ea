"""``ingestgate fingerprint``: what the gate sees of a file."""

import json
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.errors import UsageError
from ingestgate.assets.printable import printable
from ingestgate.pipeline.commands.options import json_flag, policy

if TYPE_CHECKING:
    from ingestgate.fingerprints.fingerprinter import Fingerprinter
    from ingestgate.fingerprints.isolated import IsolatedFingerprinter
    from ingestgate.transforms.policy import Policy

    _Fingerprinter = Fingerprinter | IsolatedFingerprinter


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--hash",
    "names",
    multiple=True,
    metavar="NAME",
    help="A perceptual hash to compute; may be repeated. [default: those of the policy, else "
    "pdq and phash]",
)
@click.option(
    "--digest",
    "digest_names",
    multiple=True,
    metavar="NAME",
    help="A digest to compute beside md5, sha1 and sha256, such as sha512; may be repeated. "
    "[default: those of the policy]",
)
@policy("The run's policy: its limits, its decoder, its hashes and digests.")
@click.option(
    "--exact/--quick",
    default=True,
    show_default=True,
    help="As the reference implementations do, which is what decides; or by the shortcuts that a "
    "run takes first, which move a few bits.",
)
@json_flag("Print JSON, a line per file.")
def fingerprint(
    paths: tuple[str, ...],
    names: tuple[str, ...],
    digest_names: tuple[str, ...],
    policy_file: str | None,
    exact: bool,
    as_json: bool,
) -> None:
    """Print what the gate sees of files: media type, frames, digests and perceptual hashes.

    For comparing with a partner's figures. A file that the gate would hold is printed with the
    reason, and so is a hash for which it would; that is no error. ICC profiles are not applied.
    PATH is a file, local or remote, a pattern or a folder.

    Files are decoded as a run decodes them: in a process of its own that can reach nothing,
    unless the policy says otherwise.
    """
    from ingestgate.assets import storage
    from ingestgate.pipeline.run_policy import policy_of

    files = [file for path in paths for file in _files(path)]
    policy = policy_of(policy_file)
    further = _digests(digest_names or policy.digests)
    fingerprinter = _fingerprinter(policy, names or policy.perceptual)
    for file in files:
        described = _describe(fingerprinter, storage.read_bytes(file), further, exact=exact)
        if as_json:
            click.echo(json.dumps({"path": file, **described}))
        else:
            _print(file, described)


def _digests(names: tuple[str, ...]) -> tuple[str, ...]:
    from ingestgate.assets.verdict import SignalKind
    from ingestgate.blocklists.signals import signal_types
    from ingestgate.fingerprints.digests import DIGESTS

    known = [n for n, signal in signal_types().items() if signal.kind is SignalKind.DIGEST]
    for name in names:
        if name not in known:
            raise UsageError(f"no digest {name!r}; known are {', '.join(sorted(known))}")
    return (*DIGESTS, *(name for name in names if name not in DIGESTS))


def _fingerprinter(policy: "Policy", names: tuple[str, ...]) -> "_Fingerprinter":
    from ingestgate.fingerprints.fingerprinter import Fingerprinter
    from ingestgate.fingerprints.isolated import IsolatedFingerprinter

    limits = policy.decode_limits()
    if policy.decoder == "in_process":
        return Fingerprinter(names, limits)
    return IsolatedFingerprinter(names, limits, timeout_s=policy.limits.max_seconds)


def _files(path: str) -> list[str]:
    from ingestgate.assets import storage

    folders = storage.match_directories(path)
    entries = [*storage.match(path), *(e for folder in folders for e in storage.walk(folder))]
    if entries:
        return [entry.path for entry in entries]
    if not storage.exists(path):
        raise UsageError(f"{path}: there is no such file")
    return [path]  # a file whose own name looks like a pattern


def _describe(
    fingerprinter: "_Fingerprinter", content: bytes, names: tuple[str, ...], *, exact: bool
) -> dict[str, Any]:
    from ingestgate.assets.verdict import Reason
    from ingestgate.fingerprints.digests import digests
    from ingestgate.fingerprints.perceptual import perceptual_hashes
    from ingestgate.fingerprints.unscannable import Unscannable
    from ingestgate.fingerprints.views import ORIENTATIONS

    described: dict[str, Any] = {"bytes": len(content), "digests": digests(content, names)}
    try:
        found = fingerprinter.fingerprint(content, exact=exact)
    except Unscannable as error:
        return described | {"unscannable": {"reason": error.reason.value, "detail": error.detail}}
    perceptual = {}
    for name, views in found.perceptual.items():
        width = perceptual_hashes()[name].bits // 8
        perceptual[name] = {
            "reliable": name not in found.low_quality,
            "reason": Reason.LOW_QUALITY.value if name in found.low_quality else None,
            "views": [
                {
                    "frame": view.frame,
                    "view": view.view,
                    "quality": None if view.quality < 0 else view.quality,
                    "hashes": {
                        orientation: view.hashes[start : start + width].hex()
                        for orientation, start in zip(
                            ORIENTATIONS, range(0, len(view.hashes), width), strict=False
                        )
                    },
                }
                for view in views
            ],
        }
    return described | {
        "media_type": found.media_type,
        "width": found.width,
        "height": found.height,
        "frames": found.frames,
        "icc_profile": "ignored" if found.has_icc_profile else None,
        "perceptual": perceptual,
    }


def _print(file: str, described: dict[str, Any]) -> None:
    """Prints a file for people: the upright hashes only."""
    click.echo(printable(file))
    for name, digest in described["digests"].items():
        click.echo(f"  {name:<10}{digest}")
    if "unscannable" in described:
        reason = described["unscannable"]
        click.echo(f"  unscannable: {reason['reason']} ({reason['detail']})")
        return
    click.echo(
        f"  {described['media_type']}, {described['width']} x {described['height']} pixels, "
        f"{described['frames']} frame{'s' if described['frames'] != 1 else ''}"
        f"{', ICC profile ignored' if described['icc_profile'] else ''}"
    )
    click.echo(f"  {'hash':<10}{'frame':>5}  {'view':<24}{'quality':>7}  upright")
    for name, entry in described["perceptual"].items():
        for view in entry["views"]:
            quality = "" if view["quality"] is None else view["quality"]
            upright = view["hashes"]["upright"]
            click.echo(f"  {name:<10}{view['frame']:>5}  {view['view']:<24}{quality:>7}  {upright}")
        if not entry["reliable"]:
            click.echo(f"  {name:<10}{entry['reason']}: held by a run whose lists need this hash")
