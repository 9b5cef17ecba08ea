"""Each kind of discrepancy, seeded into a finished run, is found and named."""

import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestgate.assets.receipts import read_receipt, write_receipt
from ingestgate.pipeline.census import plain_counting
from ingestgate.pipeline.census.result import Census
from ingestgate.pipeline.census.taking import take_census
from ingestgate.quarantine.keys import generate_identity
from tests.archives import make_tar, special
from tests.e2e.conftest import Job, _no_network, content, lists
from tests.e2e.purge.conftest import purged, write_caught
from tests.faults.zones import ZONES

__all__ = ["_no_network", "lists"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, lists: str) -> dict[str, Job]:
    root = tmp_path_factory.mktemp("counted")
    recipient = generate_identity(str(root / "identity.txt"))
    made = {}
    for name in ("webdataset", "folder", "urls"):
        pattern = ZONES[name](root / name / "landing")
        made[name] = Job(root / name / "job", [pattern], lists, "", recipient)
        made[name].report()
    return made


@pytest.fixture
def copy(finished: dict[str, Job], tmp_path: Path) -> Callable[[str], Job]:
    """Makes copies of finished runs, which a test may falsify; the landing zone is as it was."""

    def make(name: str) -> Job:
        shutil.copytree(finished[name].root, tmp_path / "job")
        return replace(finished[name], root=tmp_path / "job")

    return make


def taken(job: Job) -> Census:
    return take_census(job.inputs, *map(str, (job.output, job.quarantine, job.evidence)))


def rewrite_rows(job: Job, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Changes the rows of the first shard's ledger."""
    (path, *_) = sorted((job.evidence / "ledger").rglob("part-00000.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    changed = type(table).from_pylist(rows, schema=table.schema)
    pq.write_table(changed, path)


def rewrite_tar(job: Job, change: Callable[[list[tuple[str, bytes | None]]], Any]) -> None:
    """Changes the members of the first admitted shard."""
    path = job.output / "00000.tar"
    with tarfile.open(path) as tar:
        items = [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    change(items)
    path.write_bytes(make_tar(items))


def swap(rows: list[dict[str, Any]]) -> None:
    rows[0], rows[1] = rows[1], rows[0]


def admit_all(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["verdict"], row["reason"] = "admitted", "clean"


def test_nothing_is_wrong_with_a_run_that_ended_well(finished: dict[str, Job]) -> None:
    for job in finished.values():
        found = taken(job)
        assert found.exact, found.problems


LEDGERS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "lost": (lambda rows: rows.pop(2), "the ledger does not have: k02.jpg"),
    "doubled": (lambda rows: rows.append(rows[0]), "more than in the input: k00.jpg"),
    "unexpected": (
        lambda rows: rows.append(rows[0] | {"member": "new.jpg", "asset_id": "0" * 32}),
        "rows for assets the input does not hold",
    ),
    "swapped": (swap, "has no ledger row in its place"),
    "another asset": (
        lambda rows: rows[0].update(sha256="0" * 64),
        "not the asset that was judged",
    ),
    "no such reason": (lambda rows: rows[0].update(reason="matched"), "admitted because matched"),
    "let in": (admit_all, "admitted, but not so in the output"),
    "let in, though it matched": (admit_all, "k03.jpg: admitted, though it matched"),
    "let in, but sealed": (admit_all, "the manifest has a row for k03.jpg, the ledger does not"),
}


@pytest.mark.parametrize("kind", list(LEDGERS))
def test_a_ledger_that_says_something_else(copy: Callable[[str], Job], kind: str) -> None:
    job = copy("webdataset")
    change, said = LEDGERS[kind]
    rewrite_rows(job, change)
    found = taken(job)
    assert not found.exact
    assert any(said in problem for problem in found.problems), found.problems


OUTPUTS: dict[str, tuple[Callable[[list[tuple[str, bytes | None]]], Any], str]] = {
    "lost": (lambda items: items.pop(), "admitted, but not so in the output"),
    "doubled": (lambda items: items.append(items[0]), "not admitted"),
    "unexpected": (
        lambda items: items.append(("k03.jpg", b"taken out")),
        "1 of it in the output that the ledger does not admit: k03.jpg",
    ),
    "changed": (lambda items: items.insert(0, ("k00.jpg", b"")), "admitted, but not so"),
}


@pytest.mark.parametrize("kind", list(OUTPUTS))
def test_an_output_that_holds_something_else(copy: Callable[[str], Job], kind: str) -> None:
    job = copy("webdataset")
    change, said = OUTPUTS[kind]
    rewrite_tar(job, change)
    found = taken(job)
    assert not found.exact
    assert any(said in problem for problem in found.problems), found.problems


def test_rows_with_nan_are_compared_to_the_bit(tmp_path: Path, lists: str) -> None:
    nan = float("nan")
    recipient = generate_identity(str(tmp_path / "identity.txt"))
    path = tmp_path / "landing" / "rows.parquet"
    path.parent.mkdir()
    spots = pa.list_(pa.struct([("x", pa.float32())]))
    columns = {
        "url": [f"https://fine.example/{number}" for number in range(3)],
        "score": [nan, None, 0.0],
        "spots": pa.array([[{"x": nan}], None, [{"x": 2.0}]], spots),
        "sizes": pa.array([[("w", nan)], [], None], pa.map_(pa.string(), pa.float64())),
    }
    pq.write_table(pa.table(columns), path)
    job = Job(tmp_path / "job", [str(path.parent / "*")], lists, "", recipient)
    job.report()
    assert taken(job).exact
    changes = {
        "score": [nan, None, -0.0],
        "spots": pa.array([[{"x": nan}], None, [{"x": 2.5}]], spots),
        "sizes": pa.array([[("w", 1.0)], [], None], pa.map_(pa.string(), pa.float64())),
    }
    for name, changed in changes.items():
        pq.write_table(pa.table({**columns, name: changed}), job.output / "rows.parquet")
        assert any("not as admitted" in line for line in taken(job).problems), name


def test_files_that_nobody_accounts_for(copy: Callable[[str], Job]) -> None:
    job = copy("webdataset")
    (job.output / "more.tar").write_bytes(b"")
    next((job.quarantine / "objects").rglob("*.age")).unlink()
    (job.evidence / "receipts" / "00001.tar.json").unlink()
    problems = "\n".join(taken(job).problems)
    assert "more.tar: in the output, but admitted by no receipt" in problems
    assert "its sealed object or key is missing or changed" in problems
    assert "00001.tar: no receipt for the shard as it is now" in problems


def test_files_of_shards_that_are_not_in_the_input_any_more(copy: Callable[[str], Job]) -> None:
    job = copy("webdataset")
    receipt = read_receipt(str(job.evidence), "00000.tar")
    assert receipt is not None
    for shard, format, names in (
        ("gone.tar", "img2dataset", ["gone.tar", "gone.parquet"]),
        ("gone", "folder", ["gone"]),
    ):
        outputs = [{"name": name, "sha256": "0" * 64, "size": 0} for name in names]
        other = replace(receipt, shard=shard, format=format, outputs=outputs)
        write_receipt(str(job.evidence), other)
    (job.output / "gone").mkdir()
    files = ["gone.parquet", "gone.tar", "gone/k00.jpg"]
    for name in (*files, "gone.jpg"):
        (job.output / name).touch()
    assert sorted(taken(job).problems) == [
        "gone.jpg: in the output, but admitted by no receipt",
        *(f"{name}: in the output, but its shard is not in the input any more" for name in files),
    ]


class LookedAt(frozenset[str]):
    """Names that count how many of them are looked at."""

    count = 0

    def __contains__(self, name: object) -> bool:
        self.count += 1
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self.count += 1
            yield name


def test_a_file_that_is_not_expected_is_not_compared_with_all_that_was_admitted(
    copy: Callable[[str], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = copy("webdataset")
    others = LookedAt({"gone/k", *(f"other-{number}" for number in range(100))})
    monkeypatch.setattr(
        "ingestgate.pipeline.census.taking.admitted_of_others", lambda *arguments: others
    )
    (job.output / "gone" / "k").mkdir(parents=True)
    for name in ("gone/k/00.jpg", "gone/kept.jpg"):
        (job.output / name).touch()
    assert sorted(taken(job).problems) == [
        "gone/k/00.jpg: in the output, but its shard is not in the input any more",
        "gone/kept.jpg: in the output, but admitted by no receipt",
    ]
    assert 0 < others.count <= 3 + 2, "each file once, and once for each folder above it"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder", "the ledger does not have: k02.jpg"),
        ("urls", "1 of it in the input that the ledger does not have"),
    ],
)
def test_what_the_readers_of_both_would_overlook(
    copy: Callable[[str], Job], monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    """As if the container's code passed over an asset, in the run and in the census alike."""
    job = copy(name)
    rewrite_rows(job, lambda rows: rows.pop(2))
    monkeypatch.setattr(
        "ingestgate.pipeline.census.taking.compare_samples", lambda *arguments: None
    )
    found = taken(job)
    assert any(said in problem for problem in found.problems), found.problems


def test_a_receipt_for_another_shard(copy: Callable[[str], Job]) -> None:
    job = copy("webdataset")
    receipt = read_receipt(str(job.evidence), "00000.tar")
    assert receipt is not None
    write_receipt(str(job.evidence), replace(receipt, identity="0" * 64))
    assert any("no receipt for the shard as it is now" in p for p in taken(job).problems)


def held(tmp_path: Path, raw: bytes, name: str, format: str) -> plain_counting.Held | None:
    from tests.archives import write_shard

    return plain_counting.count(write_shard(tmp_path, raw, name, format))


def test_what_others_count(tmp_path: Path) -> None:
    tar = make_tar([("a.jpg", b"1"), special("b.jpg", tarfile.SYMTYPE, "a.jpg"), ("d", None)])
    found = held(tmp_path, tar, "s.tar", "webdataset")
    assert found is not None
    assert (dict(found.data), set(found.names)) == ({"a.jpg": 1}, {"a.jpg", "b.jpg", "d"})
    rows = held(
        tmp_path, b'url,text\nhttp://a,"two\nlines"\n\nhttp://b,x\n', "u.csv", "url-manifest"
    )
    assert rows is not None
    assert rows.data == {"": 2}
    for name in ("u.CSV", "u.jsonl", "u.NDJSON"):
        lines = b"url\nhttp://a\n" if name == "u.CSV" else b'{"url": "http://a"}\n\n'
        found = held(tmp_path, lines, name, "url-manifest")
        assert found is not None, name
        assert found.data == {"": 1}, name
    assert held(tmp_path, b"not a tar at all", "t.tar", "webdataset") is None
    assert held(tmp_path, b"", "x", "somebody's own") is None


def test_what_no_plain_library_reads_is_counted_once_and_said(
    copy: Callable[[str], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = copy("webdataset")
    assert taken(job).counted_once == 0
    monkeypatch.setattr(plain_counting, "_COUNTERS", {})
    found = taken(job)
    assert (found.counted_once, found.exact) == (found.shards, True)
    said = job.invoke(*job.census_arguments[:-1])
    assert f"{found.shards} of the shards counted by the gate's own readers alone" in said.output


def test_a_manifest_that_has_a_row_twice(copy: Callable[[str], Job]) -> None:
    job = copy("webdataset")
    path = next((job.quarantine / "manifest").glob("00000*.jsonl"))
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    said = "00000.tar: the manifest has a row for k03.jpg, the ledger does not"
    assert said in taken(job).problems


def test_rows_in_the_output_that_were_not_admitted(copy: Callable[[str], Job]) -> None:
    job = copy("urls")
    with (job.output / "urls.csv").open("a") as file:
        file.write("https://more.example/1.jpg,more\n")
    assert "urls.csv: the output holds rows that were not admitted" in taken(job).problems


def test_metadata_in_the_output_that_was_not_admitted(copy: Callable[[str], Job]) -> None:
    job = copy("folder")
    further = job.output / "landing" / "more" / "metadata.jsonl"
    further.parent.mkdir()
    further.write_text("")
    said = "landing: the output holds metadata files that were not admitted"
    assert taken(job).problems == [said]


def test_assets_of_one_sample_share_a_verdict(tmp_path: Path, lists: str) -> None:
    recipient = generate_identity(str(tmp_path / "identity.txt"))
    (tmp_path / "landing").mkdir()
    both = [("k.a.jpg", content(1)), ("k.b.jpg", content(2))]
    (tmp_path / "landing" / "a.tar").write_bytes(make_tar(both))
    job = Job(tmp_path / "job", [str(tmp_path / "landing" / "*.tar")], lists, "", recipient)
    job.report()
    assert taken(job).exact
    rewrite_rows(job, lambda rows: rows[1].update(verdict="unscannable", reason="bad_sidecar"))
    assert "a.tar: k: its assets have different verdicts" in taken(job).problems


def test_only_what_was_quarantined_may_have_been_purged(tmp_path: Path, lists: str) -> None:
    recipient = generate_identity(str(tmp_path / "identity.txt"))
    folder = write_caught(tmp_path / "landing" / "photos")
    job = Job(tmp_path / "job", [folder], lists, "", recipient)
    job.report()
    purged(job)
    assert taken(job).exact
    rewrite_rows(job, lambda rows: rows[0].update(verdict="unscannable", reason="bad_sidecar"))
    assert "photos: k03.jpg: purged, but not quarantined" in taken(job).problems
    next((job.quarantine / "objects").rglob("*.age")).unlink()
    said = "photos: k03.jpg: its sealed object or key is missing or changed"
    assert said in taken(job).problems
