from collections.abc import Iterator
from typing import Any

import pytest
from annotated_types import Ge, Le
from pydantic import ValidationError

from ingestgate.assets.provenance import LOCATION
from ingestgate.blocklists.signals import signal_types
from ingestgate.fingerprints.limits import MOST_PIXELS, DecodeLimits
from ingestgate.transforms.policy import Limits, Policy, matches_column
from ingestgate.transforms.settings import context_digest, policy_digest

KEY = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"digest_columns": {"crc32": ["crc"]}}, "there is no 'crc32'"),
        ({"digest_columns": {"domain": ["host"]}}, "there is no 'domain'"),
        ({"perceptual": ["photodna"]}, "there is no 'photodna'"),
        ({"limits": {"formats": ["JPG"]}}, "there is no 'JPG'"),
        ({"trust": {"keys": {"alice": "ed25519:AA"}}}, "not a public key"),
        ({"trust": {"keys": {"alice": KEY, "bob": KEY}}}, "the same key under two names"),
        ({"trust": {"suppression_keys": {"a": KEY, "b": KEY}}}, "the same key under two names"),
        ({"trust": {"suppression_keys": {"alice": KEY}}}, "more signatures than there are keys"),
        ({"trust": {"suppression_threshold": 1}}, "greater than or equal to 2"),
        (
            {"trust": {"keys": {"alice": KEY}, "threshold": 2}},
            "more signatures than there are keys",
        ),
        ({"trust": {"threshold": 2}}, "more signatures than there are keys"),
        ({"trust": {"max_change": 0}}, "greater than 0"),
        ({"trust": {"max_change": 1}}, "less than 1"),  # no list shrinks by more: never refused
        ({"limits": {"max_pixels": 0}}, "greater than or equal to 1"),
        ({"low_quality": "admit"}, "'hold' or 'exact_checks_suffice'"),
        (
            {"low_quality": {"pdq": "admit"}},
            "pdq: input should be 'hold' or 'exact_checks_suffice'",
        ),
        ({"low_quality": {"phsh": "hold"}}, "there is no 'phsh'"),
        ({"digests": ["crc32"]}, "there is no 'crc32'"),
        ({"quality": 3}, "Extra inputs"),
    ],
)
def test_a_policy_without_effect_is_none(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Policy(**fields)


def test_low_quality_may_be_said_for_all_hashes_or_for_each() -> None:
    assert Policy().holds_low_quality("pdq")
    assert not Policy(low_quality="exact_checks_suffice").holds_low_quality("pdq")
    each = Policy(low_quality={"pdq": "exact_checks_suffice", "dhash": "hold"})
    assert Policy.model_validate_json(each.model_dump_json()) == each
    held = [name for name in ("pdq", "dhash", "phash") if each.holds_low_quality(name)]
    assert held == ["dhash", "phash"]


def test_the_defaults_name_what_there_is() -> None:
    policy = Policy()
    assert set(policy.digest_columns) <= set(signal_types())
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_locations_are_sources_whatever_the_columns_are() -> None:
    columns = Policy(url_columns=("page",)).source_columns
    for name in ("page", LOCATION, f"{LOCATION}[#2]", f"{LOCATION}[1]"):
        assert matches_column(name, columns)
    assert not matches_column("location", columns)


@pytest.mark.parametrize(
    ("column", "matches"),
    [
        ("url", True),
        ("URL", True),
        ("page_url", True),
        ("urls[12]", True),
        ("meta.source_url", True),
        ("meta.urls[0].value", False),
        ("imageUrl", True),
        ("images[0].imageURL", True),
        (" url", True),
        ("meta.Page URL ", True),
        ("image-url", True),
        ("json.imageUrl", True),
        ("image_link", True),
        ("href", True),
        ("imageUris[2]", True),
        ("url_count", False),
        ("linked", False),
        ("caption", False),
        ("curl", False),
        ("urlish", False),
    ],
)
def test_columns_match_by_name_whatever_their_place(column: str, matches: bool) -> None:
    assert matches_column(column, Policy().url_columns) is matches


@pytest.mark.parametrize(
    "column",
    [
        "meta.source",
        "meta.source[0]",
        "meta[3].source[0][1]",
        "json.meta.source[#2]",
        "Meta.Source",
    ],
)
def test_columns_match_by_their_whole_names_without_indices(column: str) -> None:
    assert matches_column(column, ("meta.source",))
    assert not matches_column(f"{column}.more", ("meta.source",))


def test_who_has_to_have_signed_decides_no_verdict() -> None:
    trusting = Policy.model_validate({"trust": {"keys": {"alice": KEY}}})
    assert context_digest(trusting, "00") == context_digest(Policy(), "00")
    assert policy_digest(trusting) != policy_digest(Policy())


def test_what_a_picture_may_cost_has_bounds_and_reaches_the_decoder() -> None:
    bounds = {name: field.metadata for name, field in Limits.model_fields.items()}
    assert all({Ge, Le} <= {*map(type, bounds[name])} for name in bounds if name != "formats")
    given = {"max_bytes": 1, "max_pixels": 2, "max_frames": 3, "max_total_pixels": 4}
    limits = Policy(limits=Limits(**given, max_memory=300 << 20)).decode_limits()
    assert {name: getattr(limits, name) for name in given} == given
    assert limits.max_memory == 300 << 20
    assert Policy().decode_limits() == DecodeLimits()


@pytest.mark.parametrize(
    "fields", [{"max_pixels": MOST_PIXELS + 1}, {"max_memory": 1 << 20}, {"max_seconds": 10**6}]
)
def test_limits_that_are_none_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=r"should be (less|greater) than or equal to"):
        Limits(**fields)


def test_suppressions_decide_verdicts_and_none_leave_the_digest_as_it_was() -> None:
    assert context_digest(Policy(), "00", "") == context_digest(Policy(), "00")
    assert context_digest(Policy(), "00", "11") != context_digest(Policy(), "00")
    assert context_digest(Policy(), "00", "11") != context_digest(Policy(), "00", "12")


def _leaves(schema: dict[str, Any], part: dict[str, Any], *path: str) -> Iterator[tuple[str, Any]]:
    """Yields type and place of every value that a policy may have."""
    for one in (part, *part.get("anyOf", ())):
        if "$ref" in one:
            one = schema["$defs"][one["$ref"].rsplit("/", 1)[-1]]
        for name, further in one.get("properties", {}).items():
            yield from _leaves(schema, further, *path, name)
        if isinstance(further := one.get("additionalProperties"), dict):
            yield from _leaves(schema, further, *path, "pdq")
        if one.get("type") in ("integer", "number", "boolean"):
            yield one["type"], path


def test_what_is_of_another_type_is_not_made_a_number_or_a_flag() -> None:
    """A threshold of `yes` would be one of 1, and let pass what is listed."""
    schema = Policy.model_json_schema()
    leaves = [*_leaves(schema, schema)]
    places = {path for _, path in leaves}
    assert {("require_source",), ("range_bytes",), ("limits", "max_bytes")} < places
    assert {("lists", "pdq", "thresholds", "pdq"), ("trust", "max_change")} < places
    for kind, path in leaves:
        for given in ("1", "yes", 1 if kind == "boolean" else True):
            content: Any = given
            for name in reversed(path):
                content = {name: content}
            with pytest.raises(ValidationError, match="Input should be a valid") as caught:
                Policy.model_validate(content)
            assert [error["loc"] for error in caught.value.errors()] == [path], given
