"""``ingestgate lists match``: would this be caught, by what, at what distance."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ingestgate.assets.errors import UsageError
from ingestgate.pipeline.commands.options import LISTS, json_flag, policy, suppressions

if TYPE_CHECKING:
    from ingestgate.assets.verdict import Finding
    from ingestgate.transforms.judging import Judge

# Whatever has a scheme, but for the stores that files are read from.
_SOURCE = re.compile(r"(?!(?:azfs|gs|hdfs|s3)://)[a-z][a-z0-9+.-]*:[\\/]{2}", re.IGNORECASE)


@click.command()
@LISTS
@policy("The run's policy: thresholds, actions, trusted keys, limits.")
@suppressions("The run's suppressions: what they let pass is not caught.")
@click.option(
    "--url",
    "as_url",
    is_flag=True,
    help="Take every argument for a source, also those without a scheme.",
)
@json_flag("Print JSON, a line per argument.")
@click.argument("subjects", nargs=-1, required=True, metavar="FILE|URL...")
def match(
    directory: str,
    policy_file: str | None,
    suppressions: str | None,
    as_url: bool,
    as_json: bool,
    subjects: tuple[str, ...],
) -> None:
    """Say whether assets would be caught: by which entries, in what view, at what distance.

    A FILE is judged as a run judges it: digests, and the hashes of all its pictures, decoded
    in isolation. A URL (whatever has a scheme and two slashes) is only looked up, never
    contacted. Names entries, never values. What is caught, or cannot be checked, is an answer
    and no error: the exit code is 0.

    \b
    Example:
      ingestgate lists match --lists lists picture.jpg https://pictures.example/1.jpg
    """  # noqa: D301 - \b is click's own
    from datetime import UTC, datetime

    from ingestgate.blocklists.suppressions import Suppressions
    from ingestgate.pipeline.run_policy import policy_of
    from ingestgate.transforms.settings import open_judge

    policy = policy_of(policy_file)
    trust = policy.trust.for_suppressions()
    honoured = Suppressions.open(suppressions, trust, now=datetime.now(UTC))
    judge = open_judge(policy, directory, suppressions=honoured.source)
    for subject, is_url in _resolved(subjects, as_url=as_url):
        answer = _match_source(judge, subject) if is_url else _match_file(judge, subject)
        if as_json:
            click.echo(json.dumps({"url" if is_url else "file": subject, **answer}))
        else:
            _print(subject, answer)


def _resolved(subjects: Sequence[str], *, as_url: bool) -> Iterator[tuple[str, bool]]:
    """Yields each subject, and whether it is a source; files are looked for before any is read."""
    from ingestgate.assets import storage

    told = [(one, as_url or bool(_SOURCE.match(one))) for one in subjects]
    for subject, is_url in told:
        if not is_url and not storage.exists(subject):
            raise UsageError(
                f"{subject}: there is no such file; a source without a scheme needs --url"
            )
    yield from told


def _match_source(judge: "Judge", url: str) -> dict[str, Any]:
    from ingestgate.assets.verdict import Reason, Verdict
    from ingestgate.blocklists.sources import BadSource, is_absent

    if is_absent(url):
        return _answer(Verdict.UNSCANNABLE, Reason.NO_SOURCE, ())
    otherwise = Verdict.ADMITTED, Reason.CLEAN
    findings: Sequence[Finding]
    try:
        findings = judge.lists.match_source(url, "source")
    except BadSource as bad:
        otherwise, findings = (Verdict.UNSCANNABLE, Reason.BAD_SOURCE), bad.findings
    if any(finding.quarantines for finding in findings):
        return _answer(Verdict.QUARANTINED, Reason.MATCHED, findings)
    return _answer(*otherwise, findings)


def _match_file(judge: "Judge", path: str) -> dict[str, Any]:
    from ingestgate.assets import storage
    from ingestgate.assets.kinds import kind_of
    from ingestgate.assets.shard import Member

    content = storage.read_bytes(path)
    kind = kind_of(path.rpartition(".")[2], content, frozenset())
    checked = judge.check(Member(path, 0, content, kind), {})
    return _answer(checked.verdict, checked.reason, checked.evidence.findings)


def _answer(verdict: Any, reason: Any, findings: Sequence["Finding"]) -> dict[str, Any]:
    return {
        "verdict": verdict.value,
        "reason": reason.value,
        "findings": [finding._asdict() for finding in findings],
    }


def _print(subject: str, answer: dict[str, Any]) -> None:
    click.echo(f"{subject}: {answer['verdict']} ({answer['reason']})")
    for found in answer["findings"]:
        distance = f", distance {found['distance']} of {found['threshold']}"
        near = distance if found["kind"] == "perceptual" else ""
        passed = f", let pass by the suppression {found['suppression']}"
        done = found["action"] + (passed if found["suppression"] else "")
        category = f", category {found['category']}" if found["category"] else ""
        click.echo(
            f"  {found['list_id']} version {found['list_version']}, entry {found['entry_id']}"
            f"{category}: {found['signal_type']}, {found['view']}{near}, {done}"
        )
