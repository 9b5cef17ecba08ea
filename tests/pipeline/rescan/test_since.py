"""Which versions of a list can be compared, and which cannot."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet
from ingestgate.pipeline.rescan.since import Older, Since, compared_versions
from ingestgate.transforms.policy import Policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def compared(root: Path, then: dict[str, Any], today: dict[str, Any], said: Any = None) -> Older:
    """Compares the second version of a list with the first.

    Args:
        root: Where the lists are compiled.
        then: What the first version holds (``kinds``) and does.
        today: What the second does.
        said: What the policy says of the list.
    """
    (root / "md5").write_text("ab" * 16 + "\n")
    (root / "pdq").write_text("5ac3" * 16 + "\n")
    to = str(root / "lists")
    for version, does in ((1, dict(then)), (2, dict(today))):
        sources = [(kind, str(root / kind)) for kind in does.pop("kinds", ("md5", "pdq"))]
        compile_list(id="p", version=version, sources=sources, to=to, issued=NOW, **does)
    policy = Policy.model_validate({"lists": {"p": said or {}}})
    lists = ListSet.open(to, now=NOW, overrides=policy.list_overrides())
    return compared_versions(Since({"p": 1}), to, lists, policy)["p"]


@pytest.mark.parametrize(
    ("then", "today"),
    [
        ({}, {"thresholds": {"pdq": 40}}),
        ({"thresholds": {"pdq": 20}}, {}),
        ({"action": "observe"}, {}),
        ({}, {"action": "observe"}),
    ],
)
def test_older_entries_that_may_match_anew_have_to_be_looked_for(
    tmp_path: Path, then: dict[str, Any], today: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="--since p=1: thresholds or action have changed since"):
        compared(tmp_path, then, today)


@pytest.mark.parametrize(
    ("then", "today", "said"),
    [
        ({}, {}, {}),
        ({}, {"thresholds": {"pdq": 40}}, {"thresholds": {"pdq": 31}}),
        ({"action": "observe"}, {}, {"action": "quarantine"}),
        ({"kinds": ("md5",)}, {"thresholds": {"pdq": 40}}, {}),
    ],
    ids=["as they were", "thresholds", "action", "nothing held"],
)
def test_older_entries_that_match_as_before_are_passed_over(
    tmp_path: Path, then: dict[str, Any], today: dict[str, Any], said: dict[str, Any]
) -> None:
    older = compared(tmp_path, then, today, said)
    assert older.version == 1
    assert older.folders == (str(tmp_path / "lists/p-2"), str(tmp_path / "lists/p-1"))
