import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.blocklists.hamming import (
    MAX_RADIUS,
    Neighbours,
    as_words,
    build_index,
    radii,
    scan,
    search_index,
)
from ingestgate.blocklists.tables import index_lengths

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


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(8, 0), (8, 3), (8, 8), (8, 10), (8, 12), (32, 0), (32, 15), (32, 31)]),
    st.integers(0, 40),
)
def test_scan_and_index_equal_brute_force(seed: int, shape: tuple[int, int], size: int) -> None:
    width, threshold = shape
    hashes, queries = around(np.random.default_rng(seed), width, threshold, size)
    expected = brute_force(hashes, queries, threshold)
    assert as_rows(scan(as_words(hashes), as_words(queries), threshold)) == expected
    index = build_index(hashes)
    assert as_rows(search_index(hashes, index, as_words(queries), threshold)) == expected


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
    assert as_rows(search_index(hashes, build_index(hashes), queries, 31)) == by_scan


def test_each_boundary_distance() -> None:
    rng = np.random.default_rng(1)
    query = rng.integers(0, 256, (1, 32), np.uint8)
    for distance in (30, 31, 32):
        hashes = flipped(query[0], rng.permutation(256)[:distance]).reshape(1, 32)
        expected = [(0, distance, 0)] if distance <= 31 else []
        assert as_rows(scan(as_words(hashes), as_words(query), 31)) == expected
        assert as_rows(search_index(hashes, build_index(hashes), as_words(query), 31)) == expected


@pytest.mark.parametrize("width", [8, 16, 32, 144])
def test_radii_satisfy_the_general_pigeonhole_principle(width: int) -> None:
    chunks = width * 8 // 16
    for threshold in range(width * 4 + 1):
        spread = radii(width, threshold)
        assert len(spread) == chunks
        assert spread.min() >= -1
        assert spread.sum() >= threshold - chunks + 1
        assert (np.diff(spread) <= 0).all()  # the chunks to look at come first


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_each_chunk_is_looked_at_within_its_whole_radius(radius: int) -> None:
    rng = np.random.default_rng(radius)
    threshold = 4 * radius + 3
    assert radii(8, threshold).tolist() == [radius] * 4
    query = rng.integers(0, 256, (1, 8), np.uint8)
    for chunk in range(4):
        others = [bit for bit in range(64) if bit // 16 != chunk]
        for distance in range(radius + 1):
            # No other chunk is within its radius, so only this one's buckets can find it.
            near = rng.permutation(16)[:distance] + 16 * chunk
            far = [bit for at in range(3) for bit in others[16 * at : 16 * at + radius + 1]]
            hashes = flipped(query[0], np.array([*near, *far])).reshape(1, 8)
            expected = [(0, distance + 3 * (radius + 1), 0)]
            assert (
                as_rows(search_index(hashes, build_index(hashes), as_words(query), threshold))
                == expected
            )


def test_large_thresholds_fall_back_to_the_scan() -> None:
    assert radii(8, 12).max() > MAX_RADIUS
    hashes, queries = around(np.random.default_rng(3), 8, 32, 50)
    expected = brute_force(hashes, queries, 32)
    assert as_rows(search_index(hashes, build_index(hashes), as_words(queries), 32)) == expected


def test_index_has_the_stated_lengths() -> None:
    index = build_index(np.zeros((7, 32), np.uint8))
    assert (len(index.starts), len(index.rows)) == index_lengths(7, 32)
    assert index.starts[:3].tolist() == [0, 7, 7]
