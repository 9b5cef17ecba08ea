import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ingestgate.assets.errors import EvidenceError, UsageError
from ingestgate.assets.signing_keys import public_line
from ingestgate.quarantine.audit import log_path
from ingestgate.quarantine.audit_writing import append_machine
from ingestgate.quarantine.decisions import PUT_UP, Decision, decide, decisions
from ingestgate.quarantine.exporting import COLUMNS, export, neutral
from ingestgate.quarantine.looking import looked_at
from ingestgate.quarantine.reviewers import Role, add_reviewer
from ingestgate.quarantine.selecting import Selection, select
from tests.quarantine.test_manifest import FINDING, row, write
from tests.quarantine.vaults import log_manifests

KEY = Ed25519PrivateKey.generate()


def ids(root: str, **wanted: Any) -> list[int]:
    return [int(each["asset_id"], 16) for each in select(root, Selection(**wanted))]


@pytest.fixture
def root(tmp_path: Path) -> str:
    other = FINDING._replace(list_id="other", entry_id="x", category="B2")._asdict()
    write(
        tmp_path,
        [
            row(1, sha256="1" * 64),
            row(2, tier="exact", findings=[other], provenance={"page": "HTTPS://Fine.Example/p"}),
            row(3, sha256=None, sealed_at="2026-02-03T00:00:00Z"),
        ],
    )
    log_manifests(tmp_path)
    add_reviewer(str(tmp_path), "ada", public_line(KEY.public_key()), Role.ADMINISTRATOR, KEY)
    decide(str(tmp_path), looked_at(str(tmp_path), [f"{3:032x}"]), Decision.CONFIRMED, "seen", KEY)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [1, 2, 3]),
        ({"tier": "exact"}, [2]),
        ({"list_id": "partner"}, [1, 3]),
        ({"category": "B2"}, [2]),
        ({"source": "fine.example"}, [2]),
        ({"source": "EXAMPLE.org"}, [1, 3]),
        ({"since": "2026-02-03"}, [3]),
        ({"until": "2026-02-03"}, [1, 2]),
        ({"since": "2026-01-02T03:04:07+00:00"}, [3]),
        ({"state": "confirmed"}, [3]),
        ({"state": "open"}, [1, 2]),
        ({"cluster": f"{1:032x}"}, [1, 3]),
        ({"cluster": f"{1:032x}", "state": "open"}, [1]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_selecting(root: str, wanted: dict[str, str], found: list[int]) -> None:
    assert ids(root, **wanted) == found


def test_what_is_up_for_review_stays_so_until_somebody_decides(root: str) -> None:
    both = [f"{n:032x}" for n in (1, 3)]
    append_machine(root, PUT_UP, {"rescan": "r", "assets": both})
    assert ids(root, up_for_review=True) == [1, 3]
    # Nobody's decision changes by it.
    assert ids(root, state="confirmed") == [3]
    assert ids(root, state="released") == []
    decide(
        root, looked_at(root, [both[1]]), Decision.FALSE_POSITIVE, "the entry was withdrawn", KEY
    )
    assert ids(root, up_for_review=True) == [1]
    assert decisions(root).put_up.keys() == set(both)


def test_a_line_that_puts_up_what_is_no_asset_is_refused(root: str) -> None:
    append_machine(root, PUT_UP, {"assets": "all"})
    with pytest.raises(EvidenceError, match=r"assets\.put_up_for_review: does not say"):
        ids(root)


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        ("f", "no cluster .* starts"),
        (f"{3:032x}", "no cluster .* starts"),
        ("0", "several clusters .* start"),
    ],
)
def test_a_cluster_is_one(root: str, start: str, problem: str) -> None:
    """Else a wrong id, or that of an asset in a cluster of another name, looks like nothing."""
    with pytest.raises(UsageError, match=f"{problem} with {start}"):
        ids(root, cluster=start)


def test_without_the_log_nothing_looks_as_if_nobody_had_decided(root: str) -> None:
    Path(log_path(root)).unlink()
    with pytest.raises(EvidenceError, match="the audit log is gone"):
        ids(root)


def test_a_date_is_one(root: str) -> None:
    with pytest.raises(UsageError, match="not a date"):
        ids(root, since="yesterday")


def read(path: Path, form: str) -> list[dict[str, Any]]:
    if form == "jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    if form == "parquet":
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist(maps_as_pydicts="strict")
        return found
    assert path.read_bytes().startswith(b'\xef\xbb\xbf"schema_version","asset_id",')
    rows = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    texts = {name for name in COLUMNS if isinstance(next(iter(EXAMPLE))[name], str)}
    return [
        {
            name: cell if name in texts else None if cell == "" else json.loads(cell)
            for name, cell in each.items()
        }
        for each in rows
    ]


EXAMPLE = [
    {**row(n, provenance={"caption": "=1+1\r\nü", "z": ""}).model_dump(mode="json")}
    | {"cluster": f"{n:032x}", "state": "open", "up_for_review": n == 1}
    for n in (1, 2)
]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_each_form_says_the_same(tmp_path: Path, form: str) -> None:
    path = tmp_path / "export"
    assert export(EXAMPLE, form, str(path)) == 2
    assert read(path, form) == EXAMPLE
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_an_export_of_nothing_can_be_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / "export"
    assert export([], form, str(path)) == 0
    assert read(path, form) == []


@given(st.text() | st.from_regex(r"\A *[=+\-@\t\r\n].*"))
def test_no_cell_is_a_formula(text: str) -> None:
    made = neutral(text)
    assert made.removeprefix("'") == text.removeprefix("'") or made == f"'{text}"
    assert not made.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_a_member_of_any_name_stays_one_cell(name: str) -> None:
    from ingestgate.quarantine.exporting import _csv_line

    line = _csv_line([name, "next"]).decode()
    assert list(csv.reader(io.StringIO(line, newline=""))) == [[neutral(name), "next"]]


def test_a_member_that_would_be_a_formula_is_none_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "export"
    export([EXAMPLE[0] | {"member": "=cmd()"}], "csv", str(path))
    assert b'"\'=cmd()"' in path.read_bytes()
