"""Files that are made to hang, kill or fail whoever reads them; each is small and harmless here."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.archives import make_tar
from tests.pictures import jpeg

#: Makes a file, or a folder, of the landing zone.
Maker = Callable[[Path], object]


def far_time() -> pa.Array:
    """A time where Python knows no clock."""
    return pa.array([0], pa.timestamp("us", tz="Mars/Phobos"))


def trio(root: Path, more: dict[str, pa.Array]) -> None:
    (root / "00000.tar").write_bytes(make_tar([("000000000.jpg", jpeg(1))]))
    (root / "00000_stats.json").write_text(json.dumps({"count": 1}))
    columns = {"key": ["000000000"], "url": ["https://fine.example/a"], "status": ["success"]}
    pq.write_table(pa.table({**columns, **more}), root / "00000.parquet")


def trio_of_far_times(root: Path) -> None:
    trio(root, {"t": far_time()})


def rows_of_far_times(root: Path) -> None:
    inner = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), far_time())
    outer = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), inner)
    pq.write_table(pa.table({"url": ["https://fine.example/a"], "m": outer}), root / "a.parquet")


def nested_pictures(root: Path, levels: int = 1200) -> None:
    column: pa.Array = pa.array([jpeg(1)], pa.binary())
    for _ in range(levels):
        column = pa.StructArray.from_arrays([column], ["a"])
    pq.write_table(pa.table({"image": column}), root / "a.parquet", store_schema=False)


def groups_in_groups(root: Path, levels: int = 100_000) -> None:
    """A Parquet file of nothing but a footer, by which a parser's stack overflows."""
    (root / "a.parquet").write_bytes(footer_of_groups(levels))


def footer_of_groups(levels: int) -> bytes:
    """As https://github.com/apache/parquet-format has it, in Thrift's compact protocol."""

    def number(value: int) -> bytes:
        more = bytearray()
        while value > 127:
            more.append(value & 127 | 128)
            value >>= 7
        return bytes([*more, value])

    # Of each element: repetition (optional), name, and one child; or, of the last, a type.
    group, leaf = b"\x35\x02\x18\x01a\x15\x02\x00", b"\x15\x0c\x25\x02\x18\x01a\x00"
    elements = b"\x48\x01a\x15\x02\x00" + group * levels + leaf
    # Version, schema, number of rows, no row groups.
    footer = b"\x15\x04\x19\xfc" + number(levels + 2) + elements + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def nested_line(levels: int) -> str:
    return (
        '{"url":"https://fine.example/a","file_name":"a.jpg","x":'
        + "[" * levels
        + "]" * levels
        + "}\n"
    )


def nested_rows(root: Path) -> None:
    (root / "a.jsonl").write_text(nested_line(100_000))


def nested_metadata(root: Path) -> None:
    (root / "f").mkdir()
    (root / "f" / "a.jpg").write_bytes(jpeg(1))
    (root / "f" / "metadata.jsonl").write_text(nested_line(1500))


def shared_text(root: Path, members: int = 80, length: int = 4_000_000) -> None:
    """A few kilobytes, of which the ledger would hold the same text once for each member."""
    said = json.dumps({"url": f"https://fine.example/{'a' * length}"}).encode()
    items = [("k.json", said), *((f"k.{number}.bin", b"") for number in range(members))]
    (root / "a.tar").write_bytes(gzip.compress(make_tar(items)))


def pipe(root: Path) -> None:
    os.mkfifo(root / "a.tar")


def pipe_of_rows(root: Path) -> None:
    os.mkfifo(root / "a.parquet")


def endless(root: Path) -> None:
    (root / "a.tar").symlink_to("/dev/zero")


def dangling(root: Path) -> None:
    (root / "a.tar").symlink_to("gone")


def two_of_one_name(root: Path) -> None:
    trio(root, {})
    (root / "00000.tgz").write_bytes(gzip.compress((root / "00000.tar").read_bytes()))


def no_parquet(root: Path) -> None:
    (root / "a.parquet").write_bytes(b"PAR1 no more")


def no_trio(root: Path) -> None:
    (root / "a.tar").write_bytes(make_tar([("000000000.jpg", jpeg(1))]))
    no_parquet(root)
