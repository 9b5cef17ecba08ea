"""Listed bytes in places that are no picture's: none of them reaches the output."""

import base64
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.archives import make_tar
from tests.e2e.conftest import EXACT, LISTED_HOST, Job
from tests.pictures import jpeg

MakeJob = Callable[..., Job]

LISTED, HARMLESS = jpeg(EXACT), jpeg(50)
FINE = "https://fine.example/a.jpg"
ROW = {"key": "000000000", "status": "success", "url": FINE}
STATS = b'{"count": 1, "successes": 1, "status_dict": {"success": 1}}'


def write(path: Path, columns: dict[str, Any]) -> None:
    """A Parquet file in which the values lie as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False)


def write_trio(folder: Path, columns: dict[str, Any], stats: bytes = STATS) -> str:
    write(folder / "00000.parquet", {name: [text] for name, text in ROW.items()} | columns)
    (folder / "00000.tar").write_bytes(make_tar([("000000000.jpg", HARMLESS)]))
    (folder / "00000_stats.json").write_bytes(stats)
    return str(folder / "*.tar")


def problem(gate: Job, *extra: str) -> str:
    """What the one shard failed for; nothing of it is let in."""
    report = gate.report(*extra, code=1)
    assert [path for path in gate.output.rglob("*") if path.is_file()] == []
    (failed,) = report["shards"]["failed"]
    return str(failed["problem"])


def decisions(gate: Job, *extra: str) -> list[tuple[str, str, str]]:
    """Field, verdict and reason of each asset; listed bytes are not in the output."""
    gate.report(*extra)
    for path in gate.output.rglob("*"):
        assert path.is_dir() or LISTED not in path.read_bytes()
    census = gate.census()
    assert census["exact"], census
    return [(row["field"], row["verdict"], row["reason"]) for row in gate.ledger()]


def test_bytes_in_the_rows_of_a_trio_fail_it(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_trio(tmp_path / "landing", {"jpg": pa.array([LISTED], pa.binary())}))
    assert "its Parquet file holds bytes itself" in problem(gate)


def test_stats_that_are_a_picture_fail_their_trio(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_trio(tmp_path / "landing", {}, stats=LISTED))
    assert "its stats file is not a JSON object" in problem(gate)


def test_bytes_beside_urls_are_no_manifest_whatever_is_said(job: MakeJob, tmp_path: Path) -> None:
    columns = {"url": [FINE], "image": pa.array([LISTED], pa.binary())}
    write(tmp_path / "landing" / "a.parquet", columns)
    gate = job(str(tmp_path / "landing"))
    assert "read it as --format parquet" in problem(gate, "--format", "url-manifest")
    assert decisions(gate.elsewhere("unsaid")) == [("image", "quarantined", "matched")]


@pytest.mark.parametrize("first", [(), ("--dry-run",)], ids=["run", "dry-run"])
def test_what_was_held_in_a_manifest_is_judged_once_its_format_is_said(
    job: MakeJob, tmp_path: Path, first: tuple[str, ...]
) -> None:
    text = [base64.b64encode(picture).decode() for picture in (LISTED, HARMLESS)]
    write(tmp_path / "landing" / "a.parquet", {"url": [FINE] * 2, "image": text})
    gate = job(str(tmp_path / "landing"))
    held = {"admitted": 0, "quarantined": 0, "unscannable": 2}
    assert gate.report(*first)["counts"] == held
    said = gate.report("--format", "parquet")
    assert (said["counts"]["quarantined"], said["counts"]["unscannable"]) == (1, 0)
    assert said["shards"]["done"] == 1
    assert gate.report("--format", "parquet")["shards"]["finished_before"] == 1
    census = gate.invoke(*gate.census_arguments, "--format", "parquet")
    assert census.exit_code == 0, census.output
    purge = ["purge", "--input", *gate.inputs, *gate.folders, "--json"]
    refused = gate.invoke(*purge)
    assert (refused.exit_code, "say --format parquet" in refused.output) == (5, True)
    assert gate.invoke(*purge, "--format", "parquet").exit_code == 0


TEXT = base64.b64encode(LISTED).decode()
HELD, MATCHED = ("unscannable", "unsupported_media"), ("quarantined", "matched")
BESIDE = ("unscannable", "companion_unscannable"), ("quarantined", "companion_matched")
#: What a column beside a harmless picture holds, and what becomes of it.
COLUMNS: dict[str, pa.Array] = {
    "uint8": pa.array([[*LISTED]], pa.list_(pa.uint8())),
    "int64": pa.array([[*LISTED]]),
    "tensor": pa.array([[[*LISTED]]], pa.list_(pa.list_(pa.uint8()))),
    "pieces": pa.array([[bytes([byte]) for byte in LISTED]], pa.list_(pa.binary(1))),
    "string": pa.Array.from_buffers(pa.string(), 1, pa.array([LISTED]).buffers()),
    "base64": pa.array([TEXT]),
    "lines": pa.array(["A caption\n" + base64.encodebytes(LISTED).decode()]),
    "yaml": pa.array([yaml.safe_dump({"image": LISTED})]),
    "nested": pa.array([{"turns": [{"image": f"data:image/jpeg;base64,{TEXT}"}]}]),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_bytes_in_any_column_are_judged(job: MakeJob, tmp_path: Path, name: str) -> None:
    columns = {"image": pa.array([HARMLESS], pa.binary()), name: COLUMNS[name]}
    write(tmp_path / "landing" / "a.parquet", columns)
    first, second = decisions(job(str(tmp_path / "landing")))
    assert first == ("image", *BESIDE[1])
    assert second[0].startswith(name)
    assert second[1:] == MATCHED


@pytest.mark.parametrize("end", ["\n", "\r\n\r\n"])
def test_each_of_several_pictures_in_a_text_is_judged(
    job: MakeJob, tmp_path: Path, end: str
) -> None:
    longest = max(len(HARMLESS), len(LISTED))
    text = end.join(each.ljust(longest, b"\0").hex() for each in (HARMLESS, LISTED))
    columns = {"image": pa.array([HARMLESS], pa.binary()), "text": pa.array([text])}
    write(tmp_path / "landing" / "a.parquet", columns)
    decided = decisions(job(str(tmp_path / "landing")))
    assert MATCHED in [each[1:] for each in decided]


@pytest.mark.parametrize("name", ["string", "base64", "lines", "yaml", "nested", "int64"])
def test_rows_of_a_manifest_that_carry_bytes_are_held(
    job: MakeJob, tmp_path: Path, name: str
) -> None:
    fine = pa.array([None], COLUMNS[name].type)
    columns = {"url": [FINE] * 2, name: pa.concat_arrays([COLUMNS[name], fine])}
    write(tmp_path / "landing" / "a.parquet", columns)
    assert decisions(job(str(tmp_path / "landing"))) == [("", *HELD), ("", "admitted", "clean")]


def test_rows_of_json_and_csv_that_carry_bytes_are_held(job: MakeJob, tmp_path: Path) -> None:
    caption = "A caption, of https://other.example/b.jpg; " * 40
    rows = [{"url": FINE, "text": text} for text in (TEXT, LISTED.decode("latin-1"), caption)]
    (tmp_path / "landing").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "landing" / "a.jsonl").write_text(lines)
    quoted = LISTED.replace(b'"', b'""')
    (tmp_path / "landing" / "b.csv").write_bytes(
        b'url,text\n%s,"%s"\n%s,"%s"\n' % (FINE.encode(), quoted, FINE.encode(), caption.encode())
    )
    decided = [row[1:] for row in decisions(job(str(tmp_path / "landing")))]
    assert decided == [HELD, HELD, ("admitted", "clean"), HELD, ("admitted", "clean")]


def test_sidecars_that_carry_a_picture_are_held(job: MakeJob, tmp_path: Path) -> None:
    numbers = json.dumps({"image": [*LISTED]}).encode()
    slashes = json.dumps({"image": TEXT}).replace("/", "\\/").encode()
    members = [
        *(("a.jpg", HARMLESS), ("a.txt", TEXT.encode())),
        *(("b.jpg", jpeg(51)), ("b.json", numbers)),
        *(("c.jpg", jpeg(52)), ("c.json", slashes)),
        *(("d.jpg", jpeg(53)), ("d.json", b'{"url": "https://fine.example/"}')),
    ]
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.tar").write_bytes(make_tar(members))
    bad = ("unscannable", "bad_sidecar")
    decided = [row[1:] for row in decisions(job(str(tmp_path / "landing")))]
    assert decided == [BESIDE[0], HELD, bad, bad, ("admitted", "clean")]


def test_metadata_of_a_folder_that_carries_a_picture_is_held(job: MakeJob, tmp_path: Path) -> None:
    for folder, name in (("x", "string"), ("y", "base64"), ("z", "nested")):
        write(
            tmp_path / "landing" / folder / "metadata.parquet",
            {"file_name": ["a.jpg"], "text": COLUMNS[name]},
        )
        (tmp_path / "landing" / folder / "a.jpg").write_bytes(HARMLESS)
    gate = job(str(tmp_path / "landing" / "*"))
    assert [row[1:] for row in decisions(gate)] == [("unscannable", "bad_sidecar")] * 3


def test_rows_of_a_trio_that_carry_a_picture_are_held(job: MakeJob, tmp_path: Path) -> None:
    gate = job(write_trio(tmp_path / "landing", {"image": [TEXT]}))
    assert decisions(gate) == [("", "unscannable", "bad_sidecar")]


def test_a_schema_that_carries_a_picture_fails_its_shard(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    table = pa.table({"url": [FINE]})
    for metadata, said in ({"a": LISTED}, "no text"), ({"a": TEXT}, "carries a picture"):
        path = tmp_path / "landing" / "a.parquet"
        pq.write_table(table.replace_schema_metadata(metadata), path)
        assert said in problem(job(str(tmp_path / "landing")))


def test_content_in_the_place_of_a_source_is_held(job: MakeJob, tmp_path: Path) -> None:
    short = base64.b64encode(LISTED[:300]).decode()  # of what is longer, the length is enough
    urls = [f"{scheme}{short}" for scheme in ("data:;base64,", "data://fine.example/;base64,")]
    (tmp_path / "landing").mkdir()
    lines = "".join(json.dumps({"url": url}) + "\n" for url in [*urls, "s3://fine.example/a.jpg"])
    (tmp_path / "landing" / "a.jsonl").write_text(lines)
    bad = ("unscannable", "bad_source")
    decided = [row[1:] for row in decisions(job(str(tmp_path / "landing")))]
    assert decided == [bad, bad, ("admitted", "clean")]


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ELSEWHERE = f"https://img.{LISTED_HOST}/x.jpg"


@pytest.mark.parametrize(
    ("content", "path", "decided"),
    [
        (None, ELSEWHERE, MATCHED),
        (HARMLESS, ELSEWHERE, MATCHED),
        (HARMLESS, f"zip://x.jpg::{ELSEWHERE}", MATCHED),
        (None, "data:image/jpeg;base64,/9j/", ("unscannable", "bad_source")),
        (HARMLESS, "images/x.jpg", ("admitted", "clean")),
    ],
)
def test_where_a_reference_says_it_lies_is_a_source(
    job: MakeJob, tmp_path: Path, content: bytes | None, path: str, decided: tuple[str, str]
) -> None:
    image = pa.array([{"bytes": content, "path": path}], IMAGE)
    write(tmp_path / "landing" / "a.parquet", {"url": [FINE], "image": image})
    gate = job(str(tmp_path / "landing"))
    assert decisions(gate) == [("image", *decided)]
    if decided == MATCHED:
        (finding,) = gate.ledger()[0]["findings"]
        assert finding["view"] == "ingestgate.location"


def test_text_that_is_declared_a_picture_is_a_source(job: MakeJob, tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}}
    table = pa.table({"page_url": [FINE], "image": [ELSEWHERE]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (tmp_path / "landing").mkdir()
    pq.write_table(table, tmp_path / "landing" / "a.parquet")
    assert decisions(job(str(tmp_path / "landing"))) == [("image", *MATCHED)]


def test_every_source_of_a_text_counts(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    texts = [f"{FINE}{mark}{ELSEWHERE}" for mark in (" ", ", ", "|", ";", "\n")]
    texts += [f"https://fine.example/?u={ELSEWHERE}", f"{FINE} data://x.example/"]
    lines = "".join(json.dumps({"url": text}) + "\n" for text in texts)
    (tmp_path / "landing" / "a.jsonl").write_text(lines)
    bad = ("unscannable", "bad_source")
    decided = [row[1:] for row in decisions(job(str(tmp_path / "landing")))]
    assert decided == [MATCHED] * 5 + [("admitted", "clean"), bad]


def test_sidecars_say_where_a_picture_is_from_by_any_name(job: MakeJob, tmp_path: Path) -> None:
    said, fine = (json.dumps({"url": url}).encode() for url in (ELSEWHERE, FINE))
    members = [
        *(("a.jpg", jpeg(50)), ("a.url", ELSEWHERE.encode())),
        *(("b.jpg", jpeg(51)), ("b.json", fine), ("b.meta.json", said)),
        *(("c.jpg", jpeg(52)), ("c.url", FINE.encode()), ("c.json", fine)),
    ]
    folder = tmp_path / "landing" / "x"
    folder.mkdir(parents=True)
    for name, content in members:
        (folder / name.replace("b.meta.json", "b.jpg.json")).write_bytes(content)
    (tmp_path / "landing" / "a.tar").write_bytes(make_tar(members))
    gate = job(str(folder), str(tmp_path / "landing" / "a.tar"))
    assert [row[1:] for row in decisions(gate)] == [MATCHED, MATCHED, ("admitted", "clean")] * 2


def test_columns_that_make_a_manifest_are_checked(job: MakeJob, tmp_path: Path) -> None:
    names = [" url", "imageUrl", "image-url", "href", "link", "image_link"]
    (tmp_path / "landing").mkdir()
    for number, name in enumerate(names):
        lines = f"page_url,{name}\n{FINE},{ELSEWHERE}\n"
        (tmp_path / "landing" / f"{number}.csv").write_text(lines)
    decided = [row[1:] for row in decisions(job(str(tmp_path / "landing")))]
    assert decided == [MATCHED] * len(names)


def test_bytes_in_the_headers_of_a_tar_are_held(job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    laden = tarfile.TarInfo("laden.jpg")
    laden.size = len(HARMLESS)
    # As Python decodes header bytes that are no UTF-8, and writes them again.
    text = LISTED.decode("utf-8", "surrogateescape")
    laden.pax_headers = {"comment": text}
    sink = io.BytesIO()
    with tarfile.open(
        fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        archive.addfile(laden, io.BytesIO(HARMLESS))
    body = b"comment=" + LISTED + b"\n"
    body = b"%d " % (len(body) + len(str(len(body) + 5)) + 1) + body
    header = tarfile.TarInfo("pax_global_header")
    header.type, header.size = tarfile.XGLTYPE, len(body)
    block = header.tobuf(tarfile.USTAR_FORMAT) + body.ljust(-len(body) % 512 + len(body), b"\0")
    note = {"comment": "0123456789012345678901234567890123456789"}
    plain = make_tar([("a.jpg", jpeg(51))], tarfile.PAX_FORMAT, pax_headers=note)
    (tmp_path / "landing" / "a.tar").write_bytes(block + plain)
    (tmp_path / "landing" / "b.tar").write_bytes(sink.getvalue())
    assert LISTED in (tmp_path / "landing" / "b.tar").read_bytes()
    gate = job(str(tmp_path / "landing"))
    assert [row[1:] for row in decisions(gate)] == [
        ("unscannable", "skipped_by_readers"),
        ("admitted", "clean"),
        HELD,
    ]
    assert gate.ledger()[0]["member"] == "<global header>"
    assert (gate.output / "a.tar").read_bytes()[: len(plain) - 10240] == plain[: len(plain) - 10240]


@pytest.mark.parametrize("before", [(), ("--dry-run",)], ids=["run", "dry-run"])
def test_what_was_held_as_one_format_is_judged_as_another(
    job: MakeJob, tmp_path: Path, before: tuple[str, ...]
) -> None:
    """Of a manifest, a row of base64 is held; as Parquet with pictures, it is one."""
    texts = [base64.b64encode(content).decode() for content in (LISTED, HARMLESS)]
    write(tmp_path / "landing" / "a.parquet", {"url": [FINE] * 2, "image": pa.array(texts)})
    gate = job(str(tmp_path / "landing" / "*.parquet"))
    assert gate.report(*before)["counts"]["unscannable"] == 2
    parquet = ("--format", "parquet")
    assert gate.report(*parquet)["counts"] == {"admitted": 1, "quarantined": 1, "unscannable": 0}
    assert gate.report(*parquet)["shards"]["finished_before"] == 1
