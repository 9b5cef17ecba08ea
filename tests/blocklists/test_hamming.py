from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.assets.errors import ListError
from ingestgate.blocklists import chunking, hamming, indexing, matching
from ingestgate.blocklists.chunking import chunk_bits, index_lengths, radii
from ingestgate.blocklists.hamming import (
    Neighbours,
    as_words,
    find_pairs,
    scan,
    search_index,
    search_index_each,
)
from ingestgate.blocklists.indexing import build_index
from ingestgate.blocklists.listset import ListOverride
from ingestgate.fingerprints.fingerprinter import Fingerprinter
from ingestgate.fingerprints.limits import DecodeLimits
from tests.pictures import jpeg

Hashes = npt.NDArray[np.uint8]


def brute_force(hashes: Hashes, queries: Hashes, threshold: int) -> list[tuple[int, int, int]]:
    """Rows, distances and first nearest queries, in plain Python."""
    found = []
    for row, entry in enumerate(hashes):
        ones = [
            (int.from_bytes(entry.tobytes()) ^ int.from_bytes(query.tobytes())).bit_count()
            for query in queries
        ]
        if ones and min(ones) <= threshold:
            found.append((row, min(ones), ones.index(min(ones))))
    return found


def as_rows(near: Neighbours) -> list[tuple[int, int, int]]:
    return [
        (int(row), int(distance), int(query))
        for row, distance, query in zip(near.rows, near.distances, near.queries, strict=True)
    ]


def flipped(value: npt.NDArray[np.uint8], bits: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
    as_bits = np.unpackbits(value)
    as_bits[bits] ^= 1
    return np.packbits(as_bits)


def around(
    rng: np.random.Generator, width: int, threshold: int, size: int
) -> tuple[Hashes, Hashes]:
    """Queries, and hashes of which many lie just within and just beyond the threshold."""
    queries = rng.integers(0, 256, (int(rng.integers(0, 5)), width), np.uint8)
    hashes = rng.integers(0, 256, (size, width), np.uint8)
    for row in range(size):
        if len(queries) and row % 3:
            distance = int(np.clip(threshold + rng.integers(-1, 2), 0, 8 * width))
            bits = rng.permutation(8 * width)[:distance]
            hashes[row] = flipped(queries[rng.integers(len(queries))], bits)
        elif row and row % 2:
            hashes[row] = hashes[row - 1]
    return hashes, queries


SHAPES = [
    *((8, threshold) for threshold in (0, 1, 3, 8, 10, 12, 20)),
    *((16, threshold) for threshold in (5, 16)),
    *((24, threshold) for threshold in (11, 25)),
    *((32, threshold) for threshold in (0, 15, 31, 33, 60)),
    (144, 90),
]


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.sampled_from(SHAPES), st.integers(0, 40))
def test_scan_and_index_equal_brute_force(seed: int, shape: tuple[int, int], size: int) -> None:
    width, threshold = shape
    hashes, queries = around(np.random.default_rng(seed), width, threshold, size)
    expected = brute_force(hashes, queries, threshold)
    assert as_rows(scan(as_words(hashes), as_words(queries), threshold)) == expected
    index = build_index(hashes, threshold)
    assert as_rows(search_index(hashes, index, as_words(queries), threshold)) == expected


def all_pairs(hashes: Hashes, queries: Hashes, threshold: int) -> list[tuple[int, int, int]]:
    """Every row, distance and query within the threshold."""
    return sorted(
        (row, distance, query)
        for query in range(len(queries))
        for row, distance, _ in brute_force(hashes, queries[query : query + 1], threshold)
    )


@settings(max_examples=150)
@given(
    st.integers(0, 2**32),
    st.integers(0, 60),
    st.lists(st.integers(8, 16), min_size=4, max_size=7),
    st.data(),
)
def test_every_pair_comes_once_whatever_the_plan(
    seed: int, size: int, bits: list[int], data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    bits = [*bits[:3], 64 - sum(bits[:3])] if sum(bits[:3]) >= 38 else [16] * 4
    spread = [data.draw(st.integers(-1, 4)) for _ in bits]
    threshold = sum(radius + 1 for radius in spread) - 1
    if threshold < 0:
        spread[0] = threshold = 0
    hashes, queries = around(rng, 8, threshold, size)
    hashes = hashes[rng.integers(0, max(size, 1), size)]  # duplicates share buckets
    found = find_pairs(hashes, build_index(hashes, 0, bits), as_words(queries), threshold, spread)
    assert sorted(map(tuple, found.tolist())) == all_pairs(hashes, queries, threshold)


def skewed(rng: np.random.Generator, size: int) -> Hashes:
    """Hashes that share most of their bits, as pictures of one series do."""
    series = rng.integers(0, 256, (5, 32), np.uint8)
    noise = np.packbits(rng.random((size, 256)) < 0.06, axis=1)
    return series[rng.integers(0, 5, size)] ^ noise


def test_skewed_hashes_and_more_matches_than_expected() -> None:
    rng = np.random.default_rng(5)
    hashes = skewed(rng, 3000)
    queries = as_words(hashes[:4].copy())
    by_scan = as_rows(scan(as_words(hashes), queries, 31))
    assert len(by_scan) > 300
    index = build_index(hashes, 31)
    assert index.shared.size
    assert as_rows(search_index(hashes, index, queries, 31)) == by_scan


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([(8, 8), (32, 31), (32, 70)]), st.integers(1, 5))
def test_several_assets_at_once_find_what_each_finds(
    seed: int, shape: tuple[int, int], assets: int
) -> None:
    """Views of one picture are alike, so that they share buckets; some assets have none."""
    width, threshold = shape
    rng = np.random.default_rng(seed)
    hashes, queries = around(rng, width, threshold, 40)
    groups = [queries[:0] for _ in range(assets)]
    for number in range(assets if len(queries) else 0):
        repeated = np.repeat(queries, rng.integers(0, 4), axis=0)
        views = [flipped(view, rng.permutation(8 * width)[: rng.integers(3)]) for view in repeated]
        groups[number] = np.array(views, np.uint8).reshape(-1, width)
    index = build_index(hashes, threshold)
    found = search_index_each(hashes, index, [as_words(group) for group in groups], threshold)
    assert [as_rows(near) for near in found] == [
        brute_force(hashes, group, threshold) for group in groups
    ]


def of_pictures(count: int) -> Hashes:
    """PDQ of pictures in every orientation: their bits are balanced, and hang together."""
    fingerprinter = Fingerprinter(["pdq"], DecodeLimits())
    found = [fingerprinter.fingerprint(jpeg(seed)).perceptual["pdq"][0] for seed in range(count)]
    return np.frombuffer(b"".join(view.hashes for view in found), np.uint8).reshape(-1, 32)


def test_lists_of_skewed_and_of_real_hashes_are_searched_exactly_at_every_radius(
    compiled: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hamming, "INDEXED_FROM", 200)
    rng = np.random.default_rng(11)
    real = of_pictures(8)
    near = [flipped(real[rng.integers(len(real))], rng.permutation(256)[:n]) for n in range(60)]
    listed = np.concatenate([real, skewed(rng, 400), np.array(near)])
    lines = [f"{one.tobytes().hex()},{row},\n" for row, one in enumerate(listed)]
    compiled(pdq="value,entry_id,category\n" + "".join(lines))
    queries = np.concatenate(
        [real[::9], listed[100:104], skewed(rng, 2), [flipped(real[3], rng.permutation(256)[:20])]]
    )
    bits = np.unpackbits(listed, axis=1), np.unpackbits(queries, axis=1)
    distances = (bits[0][:, None] != bits[1][None]).sum(axis=2)
    views = [str(number) for number in range(len(queries))]
    lists = opened(verify=False)
    assert radii(tuple(lists.lists[0].indexes["pdq"].layout[::3].tolist()), 0, 31) is not None
    monkeypatch.setattr(matching, "MAX_FINDINGS", len(listed))
    for threshold in range(41):
        override = ListOverride(thresholds={"pdq": threshold})
        searched = opened(verify=False, overrides={"partner": override})
        found = searched.match_perceptual("pdq", queries, views)
        assert {(int(one.entry_id), one.distance, int(one.view)) for one in found} == {
            (row, int(distances[row].min()), int(distances[row].argmin()))
            for row in np.flatnonzero(distances.min(axis=1) <= threshold).tolist()
        }
        assert len(found) >= len(real[::9])


def test_more_queries_than_one_pass_takes() -> None:
    rng = np.random.default_rng(6)
    hashes = rng.integers(0, 256, (500, 32), np.uint8)
    queries = hashes[rng.integers(0, 500, 700)]
    found = find_pairs(hashes, build_index(hashes, 31), as_words(queries), 31, plan(31))
    assert sorted(map(tuple, found.tolist())) == sorted(
        (row, 0, query)
        for query in range(700)
        for row in np.flatnonzero((hashes == queries[query]).all(axis=1)).tolist()
    )


def plan(threshold: int) -> tuple[int, ...]:
    found = radii(chunk_bits(32, 0, threshold), 0, threshold)
    assert found is not None
    return found


def test_each_boundary_distance() -> None:
    rng = np.random.default_rng(1)
    query = rng.integers(0, 256, (1, 32), np.uint8)
    for distance in (30, 31, 32):
        hashes = flipped(query[0], rng.permutation(256)[:distance]).reshape(1, 32)
        expected = [(0, distance, 0)] if distance <= 31 else []
        assert as_rows(scan(as_words(hashes), as_words(query), 31)) == expected
        assert (
            as_rows(search_index(hashes, build_index(hashes, 31), as_words(query), 31)) == expected
        )


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 4])
def test_each_chunk_is_looked_at_within_its_whole_radius(radius: int) -> None:
    rng = np.random.default_rng(radius)
    threshold = 4 * radius + 3
    query = rng.integers(0, 256, (1, 8), np.uint8)
    as_bits = np.arange(64) ^ 7  # numpy's order of bits against a word's
    for chunk in range(4):
        others = [bit for bit in range(64) if bit // 16 != chunk]
        for distance in range(radius + 1):
            # No other chunk is within its radius, so only this one's buckets can find it.
            near = rng.permutation(16)[:distance] + 16 * chunk
            far = [bit for at in range(3) for bit in others[16 * at : 16 * at + radius + 1]]
            hashes = flipped(query[0], as_bits[[*near, *far]]).reshape(1, 8)
            index = build_index(hashes, threshold, [16] * 4)
            found = find_pairs(hashes, index, as_words(query), threshold, [radius] * 4)
            assert found.tolist() == [[0, distance + 3 * (radius + 1), 0]]


def test_large_thresholds_fall_back_to_the_scan() -> None:
    hashes, queries = around(np.random.default_rng(3), 8, 32, 50)
    index = build_index(hashes, 8)
    assert radii(tuple(index.layout[::3].tolist()), 50, 32) is None
    expected = brute_force(hashes, queries, 32)
    assert as_rows(search_index(hashes, index, as_words(queries), 32)) == expected


@pytest.mark.parametrize("size", [0, 1, 7])
def test_index_has_the_stated_lengths(size: int) -> None:
    index = build_index(np.zeros((size, 32), np.uint8), 31)
    assert tuple(len(array) for array in index) == index_lengths(index.layout, 32, size)
    chunks = len(index.layout) // 3
    assert len(index.heads) == (chunks if size else 0)
    assert len(index.shared) == (chunks * size if size > 1 else 0)


def test_with_a_margin_rows_beyond_the_threshold_are_met_on_the_way() -> None:
    """All up to 4 bits beyond, and nearly all up to 8."""
    rng = np.random.default_rng(11)
    hashes = rng.integers(0, 256, (1 << 17, 32), dtype=np.uint8)
    index = build_index(hashes, 31)
    met = dict.fromkeys(range(29, 41), 0)
    tries = 200
    for distance in met:
        rows = rng.choice(len(hashes), tries, replace=False)
        queries = hashes[rows].copy()
        for query in queries:
            for bit in rng.choice(256, distance, replace=False):
                query[bit // 8] ^= np.uint8(1 << (bit % 8))
        for row, query in zip(rows, queries, strict=True):
            found = search_index(hashes, index, as_words(query[None]), 31, 8)
            met[distance] += int(row) in found.rows
    assert [met[distance] for distance in (29, 30, 31, 40)] == [tries, tries, tries, 0]
    assert min(met[distance] for distance in range(32, 36)) >= tries
    assert min(met[distance] for distance in range(36, 40)) >= 0.97 * tries


@pytest.mark.parametrize("margin", [4, 6, 24])
def test_short_hashes_are_found_as_far_as_the_margin_reaches(margin: int) -> None:
    """A quarter to a half of those a few bits beyond the threshold would not be met on the way."""
    rng = np.random.default_rng(margin)
    hashes = rng.integers(0, 256, (1 << 15, 8), dtype=np.uint8)
    index = build_index(hashes, 6)
    rows = rng.choice(len(hashes), 60, replace=False)
    queries = hashes[rows].copy()
    for number, query in enumerate(queries):
        for bit in rng.choice(64, 7 + number % margin, replace=False):
            query[bit // 8] ^= np.uint8(1 << (bit % 8))
    for query in queries:
        found = search_index(hashes, index, as_words(query[None]), 6, margin)
        assert as_rows(found) == as_rows(scan(as_words(hashes), as_words(query[None]), 6 + margin))


def test_more_hashes_than_rows_have_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "MAX_HASHES", 2)
    build_index(np.zeros((2, 8), np.uint8), 4)
    with pytest.raises(ListError, match="3 hashes of one kind, an index holds 2; make several"):
        build_index(np.zeros((3, 8), np.uint8), 4)


def test_an_index_is_the_same_however_many_buckets_are_filled_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes = skewed(np.random.default_rng(8), 2000)
    bits = [16, 13, 15, 20, *[16] * 12]
    at_once = build_index(hashes, 31, bits)
    assert indexing.is_index_of(at_once, hashes)
    monkeypatch.setattr(indexing, "_BUCKETS", 1 << 14)
    for made, same in zip(build_index(hashes, 31, bits), at_once, strict=True):
        assert np.array_equal(made, same)
