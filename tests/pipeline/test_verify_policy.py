import json
from pathlib import Path

import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.pipeline.verify_policy import demands


def test_the_command_line_can_only_demand_more_than_the_policy(tmp_path: Path) -> None:
    keys = {name: generate_signing_key(str(tmp_path / name)) for name in ("a", "b", "c")}
    policy = tmp_path / "verify.yaml"
    policy.write_text(json.dumps({"keys": keys, "threshold": 2, "max_age_days": 9}))
    for threshold, wanted in ((None, 2), (1, 2), (3, 3)):
        assert demands(str(policy), threshold=threshold).threshold == wanted
    for days, oldest in ((None, 9), (10, 9), (8, 8)):
        age = demands(str(policy), max_age_days=days).max_age
        assert age is not None
        assert age.days == oldest


def test_one_key_under_two_names_does_not_sign_twice(tmp_path: Path) -> None:
    line = generate_signing_key(str(tmp_path / "key"))
    policy = tmp_path / "verify.yaml"
    policy.write_text(json.dumps({"keys": {"a": line, "b": line}, "threshold": 2}))
    with pytest.raises(UsageError, match="key b: the same key under two names"):
        demands(str(policy))
