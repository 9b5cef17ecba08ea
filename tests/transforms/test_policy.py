from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le
from pydantic import ValidationError

from ingestgate.assets.errors import PolicyError
from ingestgate.assets.provenance import LOCATION
from ingestgate.blocklists.signals import signal_types
from ingestgate.fingerprints.limits import MOST_PIXELS, DecodeLimits
from ingestgate.pipeline.policy_file import load_policy
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


#: What YAML has for another type than the schema's, though Python could make one of the other.
ALIKE = {
    "integer": ("true", "false", '"1"', "1.0"),
    "number": ("true", '"0.5"'),
    "boolean": ("1", "0", "1.0", '"yes"', '"true"'),
}


def keys_of(schema: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields each key of the policy, by the keys that lead to it, and the type of its value."""
    if "$ref" in schema:
        schema = Policy.model_json_schema()["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if "properties" in schema:
        for name, field in schema["properties"].items():
            yield from keys_of(field, *path, name)
    elif "additionalProperties" in schema:
        yield from keys_of(schema["additionalProperties"], *path, "any")
    else:
        yield path, schema.get("type", "")


NUMBERS_AND_BOOLEANS = [
    (path, kind) for path, kind in keys_of(Policy.model_json_schema()) if kind in ALIKE
]


def test_every_key_with_a_number_or_a_boolean_is_looked_at() -> None:
    assert {kind for _, kind in NUMBERS_AND_BOOLEANS} == set(ALIKE)
    paths = [path for path, _ in NUMBERS_AND_BOOLEANS]
    assert {("require_source",), ("limits", "max_bytes"), ("trust", "max_change")} <= set(paths)
    assert ("lists", "any", "thresholds", "any") in paths


@pytest.mark.parametrize(
    ("path", "kind"), NUMBERS_AND_BOOLEANS, ids=[".".join(p) for p, _ in NUMBERS_AND_BOOLEANS]
)
def test_nothing_is_made_into_a_number_or_a_boolean(
    tmp_path: Path, path: tuple[str, ...], kind: str
) -> None:
    file = tmp_path / "policy.yaml"
    above = [f"{'  ' * depth}{key}:" for depth, key in enumerate(path)]
    for value in ALIKE[kind]:
        file.write_text("\n".join(above) + f" {value}\n")
        with pytest.raises(PolicyError) as caught:
            load_policy(str(file), Policy)
        said = str(caught.value)
        assert said.startswith(f"{file}:{len(path)}: {'.'.join(path)}: "), value
        assert said.endswith(f"is not allowed (input should be a valid {kind})"), value
        assert ("the text " in said) == value.startswith('"'), value


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
    bounds = {n: {type(m) for m in field.metadata} for n, field in Limits.model_fields.items()}
    assert all({Ge, Le} <= found for name, found in bounds.items() if name != "formats")
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
