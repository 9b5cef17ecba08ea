"""What confined the decoders is told by the processes that judged, not by the one that asked."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.transforms import judge as judge_step
from ingestgate.transforms.judging import Judge
from tests.e2e.conftest import Job, write_webdataset

MakeJob = Callable[..., Job]
FULL = {"decoder": "in a process of its own", "landlock": "in force: version 6"}
FEWER = {"decoder": "in a process of its own", "landlock": "not in force: ENOSYS"}


def test_a_worker_with_fewer_measures_than_others_shows(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = job(write_webdataset(tmp_path / "landing", per_shard=4))
    judge_range = judge_step.judge_range

    def judged_elsewhere(shard: Any, *arguments: Any) -> None:
        found = FEWER if shard.name == "00001.tar" else FULL
        monkeypatch.setattr(Judge, "isolation", property(lambda self: found))
        judge_range(shard, *arguments)

    monkeypatch.setattr(judge_step, "judge_range", judged_elsewhere)
    expected = [{"shards": 2, "measures": FULL}, {"shards": 1, "measures": FEWER}]
    assert gate.report("--dry-run")["isolation"] == expected
    key = str(tmp_path / "key")
    generate_signing_key(key)
    report = gate.report("--certificate-key", key)
    assert report["isolation"] == expected
    page = (gate.evidence / "report.html").read_text()
    assert "Not all processes that decoded pictures were confined alike" in page
    assert "not in force: ENOSYS" in page
    (certificate,) = (gate.evidence / "certificates").glob("*.dsse.json")
    (screening,) = predicate_of(certificate)["screenings"]
    assert screening["isolation"] == [FULL, FEWER]
    # With nothing left to do, it is still on record.
    assert gate.report()["isolation"] == expected


def predicate_of(certificate: Path) -> dict[str, Any]:
    payload = json.loads(certificate.read_text())["payload"]
    predicate: dict[str, Any] = json.loads(base64.b64decode(payload))["predicate"]
    return predicate
