from pathlib import Path

from ingestgate.assets.verdict import Action
from ingestgate.pipeline.policy_file import load_policy
from ingestgate.pipeline.policy_reference import EXAMPLE, policy_reference
from ingestgate.transforms.policy import Limits, ListPolicy, ListTrust, Policy

PAGE = Path(__file__).parents[2] / "docs" / "policy.md"


def test_the_page_is_what_the_program_says() -> None:
    assert PAGE.read_text("utf-8") == policy_reference(), (
        "write it again: python -m ingestgate.pipeline.policy_reference > docs/policy.md"
    )


def test_every_key_has_a_row_with_a_meaning() -> None:
    rows = {
        cells[1].strip(" `"): cells[4].strip()
        for line in policy_reference().splitlines()
        if line.startswith("| `") and (cells := line.split("|"))
    }
    keys = {*Policy.model_fields, *Limits.model_fields, *ListPolicy.model_fields}
    keys |= set(ListTrust.model_fields)
    assert set(rows) == keys
    assert all(rows.values())


def test_the_example_is_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(EXAMPLE)
    policy = load_policy(str(path), Policy)
    assert policy.require_source
    assert policy.limits == Limits(max_pixels=25_000_000, formats=("JPEG", "MPO", "PNG", "WEBP"))
    assert policy.lists["partner-a"].action is Action.OBSERVE
    assert policy.lists["partner-b"].thresholds == {"pdq": 24}
