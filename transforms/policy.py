"""The policy: everything an operator decides, with defaults that fail closed.

The model alone; reading it from a YAML file is `pipeline.policy_file`'s.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

from ingestgate.assets.containers.container import (
    DEFAULT_RANGE_BYTES,
    DEFAULT_SIDECARS,
    ReadOptions,
)
from ingestgate.assets.naming import spelled
from ingestgate.assets.provenance import LOCATION
from ingestgate.assets.signing_keys import parse_public_line
from ingestgate.assets.verdict import Action, SignalKind
from ingestgate.blocklists.listset import ListOverride
from ingestgate.blocklists.signals import signal_types
from ingestgate.blocklists.suppressions import LEAST_SIGNERS
from ingestgate.blocklists.trust import Trust
from ingestgate.fingerprints.limits import KNOWN_FORMATS, MOST_PIXELS, DecodeLimits
from ingestgate.fingerprints.perceptual import perceptual_hashes

#: Column names; `*`, `?` and `[ab]` match as in a shell, case does not matter.
Patterns = tuple[str, ...]

LowQuality = Literal["hold", "exact_checks_suffice"]

_LIMITS = DecodeLimits()


def _known(names: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    """Returns names that have to be known; a name that is not would be without effect."""
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {name!r}; there are {', '.join(sorted(known))}")
    return names


class _Section(BaseModel):
    # Numbers and booleans are strict, field by field: `pdq: true` is no threshold of 1. Not the
    # model, to which YAML's lists and texts are no tuples and members of enums.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Limits(_Section):
    """What a picture may cost; beyond a limit it is unscannable."""

    max_bytes: StrictInt = Field(_LIMITS.max_bytes, ge=1, le=1 << 30)
    """Largest encoded size, in bytes."""
    max_pixels: StrictInt = Field(_LIMITS.max_pixels, ge=1, le=MOST_PIXELS)
    """Largest frame, in pixels (width x height). Raise `max_memory` with it."""
    max_frames: StrictInt = Field(_LIMITS.max_frames, ge=1, le=10_000)
    """Most frames or pages."""
    max_total_pixels: StrictInt = Field(_LIMITS.max_total_pixels, ge=1, le=10_000_000_000)
    """Most pixels of all frames together."""
    max_seconds: StrictInt = Field(120, ge=1, le=3600)
    """Longest time that decoding and fingerprinting may take, in seconds; also of processor time.
    Not in force with `decoder: in_process`."""
    max_memory: StrictInt = Field(_LIMITS.max_memory, ge=256 << 20, le=64 << 30)
    """Most memory that the decoder may take for a picture, in bytes, beyond what it takes when it
    is idle. Enough for any picture: 512 MiB, and 64 bytes for each of `max_pixels`. Not in force
    with `decoder: in_process`."""
    formats: tuple[str, ...] = tuple(sorted(_LIMITS.formats))
    """Picture formats that are decoded at all, by Pillow's names. `MPO`, beside `JPEG`, is a JPEG
    of several images, as phones write them for HDR screens; `TIFF` also a thumbnail that is not
    compressed, in EXIF."""

    @field_validator("formats")
    @classmethod
    def _formats_exist(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        return _known(formats, KNOWN_FORMATS)


class ListPolicy(_Section):
    """What one list does here, where that differs from what the list says itself."""

    action: Action | None = None
    """`quarantine`, or `observe`: record and count its matches without acting on them."""
    thresholds: dict[str, Annotated[StrictInt, Field(ge=0)]] = {}
    """Largest Hamming distance that matches, per signal type."""


class ListTrust(_Section):
    """Who has to have signed lists and suppressions; a change of it judges nothing again."""

    keys: dict[str, str] = {}
    """Public keys by the names of whom they are; `ingestgate keys signing` prints one. As soon as
    there are any, unsigned lists are refused."""
    threshold: StrictInt = Field(1, ge=1)
    """How many of the keys have to have signed each list."""
    max_change: StrictFloat = Field(0.5, gt=0, lt=1)
    """Largest share by which a list may shrink or grow between versions, where `--list-state`
    remembers what was seen. A version that changes more is taken by `lists accept` alone."""
    suppression_keys: dict[str, str] = {}
    """Public keys, likewise, of the people who may sign suppressions (`run --suppressions`).
    Without any, none is honoured."""
    suppression_threshold: StrictInt = Field(LEAST_SIGNERS, ge=LEAST_SIGNERS)
    """How many of these have to have signed each suppression."""

    @field_validator("keys", "suppression_keys")
    @classmethod
    def _are_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        parsed = _parsed(keys)
        if len({key.public_bytes_raw() for key in parsed.values()}) < len(parsed):
            raise ValueError("the same key under two names, which would count twice")
        return keys

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.threshold > max(1, len(self.keys)):
            raise ValueError("threshold: more signatures than there are keys")
        if self.suppression_keys and self.suppression_threshold > len(self.suppression_keys):
            raise ValueError("suppression_threshold: more signatures than there are keys")
        return self

    def opened(self) -> Trust:
        """Returns what opening lists needs of this."""
        return Trust(_parsed(self.keys), self.threshold, self.max_change)

    def for_suppressions(self) -> Trust:
        """Returns what opening suppressions needs of this."""
        return Trust(_parsed(self.suppression_keys), self.suppression_threshold)


def _parsed(lines: Mapping[str, str]) -> dict[str, Ed25519PublicKey]:
    return {name: parse_public_line(line) for name, line in lines.items()}


class Policy(_Section):
    """The policy of a run."""

    url_columns: Patterns = (
        *("url", "urls", "*_url", "*_urls", "uri", "uris", "*_uri", "*_uris"),
        *("link", "links", "*_link", "*_links", "href", "*_href"),
    )
    """Columns that hold a source; each is checked."""
    likely_url_columns: Patterns = ("*url*", "*uri*", "*link*", "*href*")
    """Further columns that may hold one. What has a scheme and `//` is a source there; other text
    is looked up as one, but not held for being none. Of no effect without `url_columns`."""
    digest_columns: dict[str, Patterns] = {
        "md5": ("md5", "*_md5"),
        "sha1": ("sha1", "*_sha1"),
        "sha256": ("sha256", "*_sha256"),
        "sha512": ("sha512", "*_sha512"),
        "pdq": ("pdq", "*_pdq"),
        "phash": ("phash", "*_phash"),
    }
    """Columns that hold a digest or hash somebody else computed, per signal type; each is a
    further candidate beside the asset's own."""
    provenance_columns: Patterns = (
        *("*url*", "*uri*", "*domain*", "*host*", "*source*", "*referer*", "*referrer*"),
        *("*id", "key", "*_key", "*name*", "*path*", "*md5", "*sha*", "*pdq", "*phash"),
        *("*status*", "*header*", "*time*", "*date*", "*license*", "*licence*", "*author*"),
        *("*crawl*", "*snapshot*", "*warc*", "*dataset*", "*ip", "exif"),
    )
    """Columns carried into the ledger. The quarantine's manifest always carries all."""
    perceptual: tuple[str, ...] = ("pdq", "phash")
    """Perceptual hashes taken and recorded of every picture; those the lists need are taken
    in any case. Rescans need them: what is not on record cannot be held against a later list."""
    digests: tuple[str, ...] = ()
    """Digests taken and recorded of every asset beside MD5, SHA-1 and SHA-256; those the lists
    need are taken in any case."""
    decoder: Literal["isolated", "in_process"] = "isolated"
    """Decode in a confined process, or in the worker itself, where a picture that crashes or
    takes over a decoder crashes or takes over the worker. For platforms that have no such
    process; there is no falling back from one to the other."""
    low_quality: LowQuality | dict[str, LowQuality] = "hold"
    """A picture too flat for a perceptual hash that a list needs: hold it, or let digests and
    sources decide. For all hashes, or for each by its name; those not named hold."""
    require_source: StrictBool = False
    """Hold assets that carry no source at all."""
    skipped_members: Literal["hold", "screen"] = "hold"
    """Members that dataset readers do not see: hold them, or screen them like any other."""
    other_members: Literal["hold", "exact_checks_suffice"] = "hold"
    """Members that are neither pictures nor sidecars (video, audio, arrays)."""
    samples_without_picture: Literal["hold", "exact_checks_suffice"] = "hold"
    """Samples of which every member is a sidecar."""
    sidecars: tuple[str, ...] = tuple(sorted(DEFAULT_SIDECARS))
    """Suffixes of members that belong to a picture (captions, labels)."""
    limits: Limits = Limits()
    lists: dict[str, ListPolicy] = {}
    """Per list id: what differs from what the list says."""
    trust: ListTrust = ListTrust()
    range_bytes: StrictInt = Field(DEFAULT_RANGE_BYTES, ge=1)
    """Shards are judged in ranges of about this many bytes; also what a killed run may have to
    do again per worker."""

    @field_validator("digest_columns")
    @classmethod
    def _signals_exist(cls, columns: dict[str, Patterns]) -> dict[str, Patterns]:
        signals = signal_types().items()
        _known(tuple(columns), [n for n, s in signals if s.kind is not SignalKind.SOURCE])
        return columns

    @field_validator("perceptual")
    @classmethod
    def _hashes_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, perceptual_hashes())

    @field_validator("low_quality", mode="before")
    @classmethod
    def _says_what_to_do(cls, given: object) -> object:
        values = given if isinstance(given, dict) else {"": given}
        if wrong := sorted(str(n) for n, v in values.items() if v not in get_args(LowQuality)):
            where = f"{wrong[0]}: " if wrong[0] else ""
            raise ValueError(f"{where}input should be 'hold' or 'exact_checks_suffice'")
        if isinstance(given, dict):
            _known(tuple(given), perceptual_hashes())
        return given

    @field_validator("digests")
    @classmethod
    def _digests_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        signals = signal_types().items()
        return _known(names, [n for n, s in signals if s.kind is SignalKind.DIGEST])

    @property
    def source_columns(self) -> Patterns:
        """What holds a source: the columns that say so, and locations, which are nothing else."""
        return (*self.url_columns, LOCATION)

    @property
    def likely_source_columns(self) -> Patterns:
        """What may hold a source, beside the columns that hold one."""
        return self.likely_url_columns if self.url_columns else ()

    def holds_low_quality(self, name: str) -> bool:
        """Whether a picture too flat for a perceptual hash that a list needs is held."""
        said = self.low_quality
        return (said if isinstance(said, str) else said.get(name, "hold")) == "hold"

    def read_options(self) -> ReadOptions:
        """Returns what container readers need of this policy."""
        return ReadOptions(
            sidecars=frozenset(suffix.lower().lstrip(".") for suffix in self.sidecars),
            range_bytes=self.range_bytes,
        )

    def decode_limits(self) -> DecodeLimits:
        """Returns what the decoder needs of this policy."""
        limits = self.limits
        return DecodeLimits(
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
            max_frames=limits.max_frames,
            max_total_pixels=limits.max_total_pixels,
            max_memory=limits.max_memory,
            formats=frozenset(limits.formats),
        )

    def list_overrides(self) -> dict[str, ListOverride]:
        """Returns what the list set needs of this policy."""
        return {
            name: ListOverride(
                action=None if entry.action is None else entry.action.value,
                thresholds=dict(entry.thresholds),
            )
            for name, entry in self.lists.items()
        }


#: Places in lists, and what `provenance.free_name` puts behind a name.
_NUMBER = re.compile(r"\[#?\d+\]")


def matches_column(column: str, patterns: tuple[str, ...]) -> bool:
    """Whether a (flattened) column name is one of the patterns.

    ``images[2].page_url`` is matched whole, without indices, and by its last component alone. What
    a name has got so as not to hide another (``json.`` before it, ``[#2]`` behind) may be there.
    ``pageUrl``, ``page-url`` and ``Page URL`` are ``page_url`` as well.
    """
    name = column.lower()
    plain = _NUMBER.sub("", column)
    last = column.rsplit(".", 1)[-1].split("[", 1)[0]
    parts = (plain, plain.removeprefix("json."), last)
    candidates = {name, *(part.lower() for part in parts), *map(spelled, parts)}
    return any(
        fnmatchcase(candidate, pattern.lower()) for pattern in patterns for candidate in candidates
    )
