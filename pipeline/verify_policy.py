"""What a training job demands of a certificate, from its command line or a YAML file."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.assets.signing_keys import PREFIX, parse_public_line, read_public_lines
from ingestgate.blocklists.manifest import LIST_ID
from ingestgate.pipeline.dataset_verifying import Demands
from ingestgate.pipeline.policy_file import load_policy

_REQUIRED = re.compile(rf"({LIST_ID})>=([0-9]+)")


class VerifyPolicy(BaseModel):
    """Demands on a certificate.

    Attributes:
        keys: Public keys by the names of whom they are.
        threshold: How many of them have to have signed.
        max_age_days: How long ago any file may have been checked last.
        lists: By list id, the lowest version that every file has to have been held against.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    keys: dict[str, str]
    threshold: Annotated[int, Field(ge=1)] = 1
    max_age_days: Annotated[float, Field(ge=0)] | None = None
    lists: dict[str, Annotated[int, Field(ge=1)]] = {}


def demands(
    policy_file: str | None,
    *,
    lines: Sequence[str] = (),
    threshold: int | None = None,
    max_age_days: float | None = None,
    lists: Sequence[str] = (),
    recalls: Sequence[str] = (),
) -> Demands:
    """Returns what is demanded; what is said besides a policy can only demand more.

    Args:
        policy_file: YAML file of a `VerifyPolicy`, or None.
        lines: Public keys, or files of them; not with a policy, which names its own.
        threshold: How many of the keys have to have signed.
        max_age_days: How long ago any file may have been checked last.
        lists: ``ID>=VERSION`` each.
        recalls: Paths of further notices.

    Raises:
        UsageError: They cannot be understood, or contradict each other.
    """
    if policy_file and lines:
        raise UsageError("give keys by --policy or by --key, not both")
    if policy_file:
        policy = load_policy(policy_file, VerifyPolicy)
    else:
        policy = VerifyPolicy(keys=_named(lines))
    keys, seen = {}, set()
    for name, line in policy.keys.items():
        try:
            key = parse_public_line(line)
        except ValueError as error:
            raise UsageError(f"key {name}: {error}") from None
        if key.public_bytes_raw() in seen:
            raise UsageError(f"key {name}: the same key under two names, which would count twice")
        seen.add(key.public_bytes_raw())
        keys[name] = key
    wanted = dict(policy.lists)
    for text in lists:
        match = _REQUIRED.fullmatch(text)
        if match is None:
            raise UsageError(f"--require-list {text!r}: wants ID>=VERSION, such as partner-a>=7")
        wanted[match[1]] = max(int(match[2]), wanted.get(match[1], 0))
    ages = [age for age in (policy.max_age_days, max_age_days) if age is not None]
    if not all(0 <= age <= timedelta.max.days for age in ages):  # nor what is no number
        raise UsageError(f"the highest age is in days, at most {timedelta.max.days}")
    return Demands(
        keys=keys,
        threshold=max(policy.threshold, threshold or 1),
        max_age=timedelta(days=min(ages)) if ages else None,
        lists=wanted,
        recalls=tuple(recalls),
    )


def _named(lines: Sequence[str]) -> dict[str, str]:
    """Returns keys by a name: the path of the file that they are from, or the key itself."""
    found: dict[str, str] = {}
    for text in lines:
        if text.startswith(PREFIX):
            found[text] = text
            continue
        if not storage.exists(text):
            raise UsageError(f"{text}: neither a public key ({PREFIX}...) nor a file of them")
        for number, row in enumerate(read_public_lines(text)):
            found[text + (f":{number + 1}" if number else "")] = row
    return found
