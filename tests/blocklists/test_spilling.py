import itertools
import random
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.errors import StorageError
from ingestgate.blocklists import building, changes, spilling
from ingestgate.blocklists.building import build
from ingestgate.blocklists.entries import Entry
from ingestgate.blocklists.signals import signal_type
from ingestgate.blocklists.spilling import GrowingArray, sorted_batches


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything beyond some kilobytes goes to files, and is merged in many rounds."""
    for module, name, value in (
        (spilling, "RUN_BYTES", 1 << 17),
        (spilling, "_HELD_BYTES", 1 << 12),
        (spilling, "_BLOCK_BYTES", 1 << 13),
        (building, "_BATCH", 512),
        (changes, "_PART", 100),
    ):
        monkeypatch.setattr(module, name, value)


keys = st.lists(st.lists(st.sampled_from(["", "a", "aa", "b", "é", "z"]), max_size=9), max_size=9)


@pytest.mark.parametrize("run", [0, 60, 1 << 20])
@pytest.mark.parametrize("block", [1, 50])
@settings(deadline=None, max_examples=50)
@given(given=keys)
def test_sorting_is_stable_whatever_fits_into_memory(
    run: int, block: int, given: list[list[str]]
) -> None:
    places = itertools.count()
    batches = [
        pa.RecordBatch.from_arrays(
            [
                pa.array(batch, pa.large_string()),
                pa.array(list(itertools.islice(places, len(batch))), pa.int64()),
            ],
            ["key", "place"],
        )
        for batch in given
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spilling, "RUN_BYTES", run)
        patch.setattr(spilling, "_BLOCK_BYTES", block)
        ordered = [row for batch in sorted_batches(iter(batches), "key") for row in rows(batch)]
    assert ordered == sorted((row for batch in batches for row in rows(batch)), key=first)


def rows(batch: pa.RecordBatch) -> list[tuple[str, int]]:
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def first(row: tuple[str, int]) -> str:
    return row[0]


@pytest.mark.parametrize("sizes", [[], [0], [3, 0, 5], [4000, 1, 4000]])
def test_an_array_is_what_was_put_into_it(little_memory: None, sizes: list[int]) -> None:
    parts = [np.arange(size, dtype=np.uint32) + size for size in sizes]
    array = GrowingArray(np.uint32)
    for part in parts:
        array.extend(part)
    assert np.array_equal(array.finished(), np.concatenate([np.empty(0, np.uint32), *parts]))


def test_no_room_is_told(little_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(StorageError, match="No space left on device; free some room there"):
        GrowingArray(np.uint8).extend(np.zeros(5000, np.uint8))


def compile_both(compiled: Any, to: str) -> None:
    """Two versions with every kind of table."""
    rng = random.Random(7)
    header = "value,entry_id,category\n"
    pdq = [f"{rng.randbytes(32).hex()},e{rng.randrange(400)},{rng.choice('AB')}\n"] * 2
    pdq += [f"{rng.randbytes(32).hex()},e{rng.randrange(400)},A\n" for _ in range(900)]
    md5 = [f"{n % 70 + 1:032x},m{rng.randrange(90)},B\n" for n in range(900)]
    domains = [f"d{rng.randrange(500)}.e{n % 7}.com\n" for n in range(900)]
    urls = [f"http://h{rng.randrange(90)}.com/{n}\n" for n in range(900)]
    sources = {"domain": "".join(domains), "url": "".join(urls)}
    compiled("l", 1, to, pdq=header + "".join(pdq), md5=header + "".join(md5), **sources)
    shorter = {"pdq": header + "".join(pdq[:500]), "md5": header + "".join(md5[200:])}
    compiled("l", 2, to, **shorter, domain=sources["domain"])


def test_what_fits_into_memory_makes_no_difference_to_the_bytes(
    tmp_path: Path, compiled: Any, request: pytest.FixtureRequest
) -> None:
    compile_both(compiled, "lists")
    request.getfixturevalue("little_memory")
    compile_both(compiled, "again")
    made, again = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.*")}
        for root in (tmp_path / "lists", tmp_path / "again")
    )
    assert len(made) == 2 * 6 + 3 + 1
    assert made == again


def test_memory_does_not_grow_with_the_list(little_memory: None) -> None:
    small, large = (peak(count) for count in (5_000, 20_000))
    assert large < 1.5 * small


def peak(count: int) -> int:
    """Returns the most bytes that sorting a list's entries holds at a time."""
    signal = signal_type("sha256")
    values = np.random.default_rng(count).bytes(signal.width * count)
    entries = (
        Entry(values[signal.width * n : signal.width * (n + 1)], f"entry-{n}", "A1")
        for n in range(count)
    )
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        content = build([(signal, entries)])
    finally:
        pa.set_memory_pool(before)
    assert len(content.values["sha256"].values) == count
    found: int | None = pool.max_memory()
    assert found is not None
    return found
