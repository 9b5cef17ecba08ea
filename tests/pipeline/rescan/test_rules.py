import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.contexts import CONTEXT_VERSION, ContextRecord, context_path
from ingestgate.pipeline.rescan.rules import newly_needed, rules_on_record
from ingestgate.transforms.policy import Policy
from ingestgate.transforms.settings import JUDGING_VERSION

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


@pytest.mark.parametrize(
    ("judging", "said", "same"),
    [
        (JUDGING_VERSION, {}, True),
        # What lists match is held against the ledger anew.
        (JUDGING_VERSION, {"lists": {"p": {"action": "observe"}}}, True),
        (JUDGING_VERSION - 1, {}, False),
        (JUDGING_VERSION, {"url_columns": ["page"]}, False),
        (JUDGING_VERSION, {"limits": {"max_frames": 7}}, False),
    ],
    ids=["same", "lists", "program", "columns", "limits"],
)
def test_a_ledger_counts_that_would_be_made_the_same_today(
    tmp_path: Path, judging: int, said: dict[str, Any], same: bool
) -> None:
    then = Policy.model_validate(said).model_dump(mode="json")
    record = ContextRecord("", judging, then, [], [])
    record = replace(record, context=record.computed())
    path = Path(context_path(str(tmp_path), record.context))
    path.parent.mkdir()
    path.write_text(json.dumps({"version": CONTEXT_VERSION, **asdict(record)}))
    assert set(rules_on_record(str(tmp_path), Policy())) == ({record.context} if same else set())
