from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.contexts import ContextRecord
from ingestgate.pipeline.rescan.rules import newly_needed
from ingestgate.transforms.policy import Policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "needed"),
    [
        ("hold", {"pdq"}),
        ("exact_checks_suffice", set()),
        ({"pdq": "exact_checks_suffice"}, set()),
        ({"phash": "exact_checks_suffice"}, {"pdq"}),
    ],
)
def test_quality_is_looked_at_where_the_policy_holds_for_that_hash(
    tmp_path: Path, said: Any, needed: set[str]
) -> None:
    (tmp_path / "pdq").write_text("5ac3" * 16 + "\n")
    sources = [("pdq", str(tmp_path / "pdq"))]
    compile_list(id="p", version=1, sources=sources, to=str(tmp_path / "lists"), issued=NOW)
    policy = Policy(low_quality=said)
    earlier = ContextRecord("", 1, policy.model_dump(mode="json"), [], [])
    lists = ListSet.open(str(tmp_path / "lists"), now=NOW)
    assert newly_needed(policy, lists, [earlier]) == needed
