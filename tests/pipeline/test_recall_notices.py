import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingestgate.assets.errors import EvidenceError
from ingestgate.pipeline.recall_notices import RECALL_TYPE, RecallNotice, read_notice

AT = "2026-03-01T12:00:00+00:00"
LISTS = [{"id": "a", "version": 2, "digest": "a2"}, {"id": "b", "version": 5, "digest": "b5"}]


def use(id: str, version: int, digest: str = "") -> dict[str, Any]:
    return {"id": id, "version": version, "digest": digest or f"{id}{version}"}


@pytest.mark.parametrize(
    ("lists", "lacking"),
    [
        *(([use("a", 2), use("b", 5)], []), ([use("a", 3), use("b", 5), use("c", 1)], [])),
        *(([use("a", 2), use("b", 4)], ["b"]), ([use("a", 2)], ["b"]), ([], ["a", "b"])),
        ([use("a", 2, "other"), use("b", 5)], ["a"]),
    ],
)
def test_only_its_lists_or_newer_ones_settle_it(
    lists: list[dict[str, Any]], lacking: list[str]
) -> None:
    notice = RecallNotice("d", AT, LISTS, [])
    assert notice.lacking(lists) == lacking
    assert notice.is_answered_by(datetime.fromisoformat(AT), lists) == (not lacking)
    earlier = datetime.fromisoformat("2026-03-01T11:59:59+00:00")
    assert not notice.is_answered_by(earlier, lists)


def test_by_no_list_nothing_settles_it() -> None:
    notice = RecallNotice("d", AT, [], [])
    assert not notice.is_answered_by(datetime.fromisoformat(AT), LISTS)


@pytest.mark.parametrize(
    "change",
    [
        *({"made_at": "yesterday"}, {"made_at": "2026-03-01"}, {"lists": [{"id": "a"}]}),
        *({"lists": [{"id": "a", "version": "2", "digest": ""}]}, {"shards": [{"sha256": "1"}]}),
        *({"shards": [{"name": "0.tar"}]}, {"version": 2}),
    ],
)
def test_what_cannot_be_told_cannot_be_read(tmp_path: Path, change: dict[str, Any]) -> None:
    content = {"version": 1, "dataset": "d", "made_at": AT, "lists": LISTS}
    content |= {"shards": [{"name": "0.tar", "sha256": "1"}], "certificate": ""}
    path = tmp_path / "r.dsse.json"

    def write(fields: dict[str, Any]) -> None:
        payload = base64.b64encode(json.dumps(fields).encode()).decode()
        path.write_text(json.dumps({"payload": payload, "payloadType": RECALL_TYPE}))

    write(content)
    assert read_notice(str(path)).made_at == AT
    write(content | change)
    with pytest.raises(EvidenceError, match="cannot be read"):
        read_notice(str(path))
