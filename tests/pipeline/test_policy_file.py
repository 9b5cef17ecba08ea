from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ingestgate.assets.errors import PolicyError
from ingestgate.pipeline.policy_file import load_policy


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mode(StrEnum):
    ACT = "act"
    OBSERVE = "observe"


class Limits(Section):
    max_bytes: int = Field(100, ge=1)
    max_pixels: int = 200


class Entry(Section):
    mode: Mode = Mode.ACT
    thresholds: dict[str, Annotated[int, Field(ge=0, le=31)]] = {}


class Toy(Section):
    columns: tuple[str, ...] = ("url",)
    low_quality: Literal["hold", "pass"] = "hold"
    limits: Limits = Limits()
    lists: dict[str, Entry] = {}
    steps: list[Entry] = []
    maybe: Limits | None = None
    names: frozenset[str] = frozenset({"b", "a"})
    since: date = date(2026, 1, 1)

    @model_validator(mode="after")
    def _sizes(self) -> "Toy":
        if self.limits.max_bytes > self.limits.max_pixels:
            raise ValueError("Bytes must not exceed pixels")
        return self


class Strict(Section):
    owner: str


def load(tmp_path: Path, text: str | bytes, model: type[BaseModel] = Toy) -> BaseModel:
    path = tmp_path / "policy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_policy(str(path), model)


def problems(tmp_path: Path, text: str | bytes, model: type[BaseModel] = Toy) -> list[str]:
    """The error's lines, without the path that each begins with."""
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, text, model)
    lines = str(caught.value).split("\n")
    prefix = f"{tmp_path}/policy.yaml:"
    assert all(line.startswith(prefix) for line in lines), lines
    return [line.removeprefix(prefix).strip() for line in lines]


@pytest.mark.parametrize("text", ["", "\n# nothing yet\n", "---\n", "{}", "\ufeff"])
def test_an_empty_file_is_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Toy()


def test_a_file_is_read(tmp_path: Path) -> None:
    text = """
columns: [url, page_url]
limits: &limits
  max_bytes: 10
maybe: *limits
lists:
  partner:
    mode: observe
    thresholds: {pdq: 20}
steps:
  - <<: {mode: observe}
    mode: act
"""
    assert load(tmp_path, text) == Toy(
        columns=("url", "page_url"),
        limits=Limits(max_bytes=10),
        maybe=Limits(max_bytes=10),
        lists={"partner": Entry(mode=Mode.OBSERVE, thresholds={"pdq": 20})},
        steps=[Entry()],
    )


def test_all_errors_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = """
low_quality: maybe
limits:
  max_bytes: 0
  max_pixls: 5
lists:
  partner:
    thresholds:
      pdq: 40
    mod: act
steps:
  - mode: act
  - mode: acts
maybe:
  max_bites: 1
columns:
"""
    known = "known: max_bytes, max_pixels"
    most = "input should be less than or equal to 31"
    assert problems(tmp_path, text) == [
        "2: low_quality: 'maybe' is not allowed (input should be 'hold' or 'pass')",
        "4: limits.max_bytes: '0' is not allowed (input should be greater than or equal to 1)",
        f"5: limits.max_pixls: unknown key (did you mean 'max_pixels'? {known})",
        f"9: lists.partner.thresholds.pdq: '40' is not allowed ({most})",
        "10: lists.partner.mod: unknown key (did you mean 'mode'? known: mode, thresholds)",
        "13: steps[1].mode: 'acts' is not allowed (input should be 'act' or 'observe')",
        f"15: maybe.max_bites: unknown key (did you mean 'max_bytes'? {known})",
        "16: columns: an empty value is not allowed (input should be a valid tuple)",
    ]


def test_a_key_like_no_other_gets_no_suggestion(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "zzzzzz: 1")
    assert problem.startswith("1: zzzzzz: unknown key (known: columns, limits, lists,")


def test_what_the_whole_policy_gets_wrong(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "limits: {max_bytes: 500}")
    assert problem == "1: policy: bytes must not exceed pixels"


def test_a_required_key_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path, "", Strict) == ["1: owner: is missing (required)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "3: a: is there already, in line 1"),
        ("limits:\n  x: 1\n  x: 1", "3: x: is there already, in line 2"),
        ("steps:\n- {x: 1,\n   x: 1}", "3: x: is there already, in line 2"),
        ("- a", "1: a policy is a mapping of keys to values"),
        ("just text", "1: a policy is a mapping of keys to values"),
        ("a: [1", "1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n\tb: 2", "2: not YAML: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2", "2: not YAML: but found another document"),
        ("a: !!python/object:os.system x", "1: could not determine a constructor for the tag"),
        ("a: 1\nb: 2001-99-99", "2: a value that is not of its YAML type"),
        ("a: !!bool x", "1: a value that is not of its YAML type"),
        ("a:\n- !!timestamp x", "2: a value that is not of its YAML type"),
        ("? [a]\n: 1", "1: found unhashable key"),
        ("a: &a [*a]", "1: an alias that stands for itself"),
        ("a: 1\nb: \x00", "2: not YAML: special characters are not allowed"),
    ],
)
def test_what_is_not_a_policy_at_all(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(expected)


def test_aliases_cannot_blow_up(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "stand for more than" in problems(tmp_path, "l0: &l0 [x]\n" + "\n".join(levels))[0]


def test_depth_and_size_are_limited(tmp_path: Path) -> None:
    assert "nested too deeply" in problems(tmp_path, "[" * 5000)[0]
    assert "too large" in problems(tmp_path, b"#" * (2 << 20))[0]
    assert "not UTF-8 text, at byte 3" in problems(tmp_path, b"a: \xff")[0]


def test_a_missing_file_is_a_policy_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(PolicyError, match="cannot be read"):
            load_policy(str(path), Toy)
