import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestgate.blocklists import chunking, hamming, indexing
from ingestgate.blocklists.spreading import find_spread, spread


def near(values: np.ndarray, count: int, most: int, random: np.random.Generator) -> np.ndarray:
    """Some values, each with up to so many bits flipped."""
    bits = np.unpackbits(values[random.integers(0, len(values), count)], axis=1)
    for row in bits:
        row[random.choice(len(row), int(random.integers(0, most + 1)), replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def brute(values: np.ndarray, queries: np.ndarray, threshold: int) -> dict[tuple[int, int], int]:
    ones = [np.unpackbits(each, axis=1).astype(np.int16) for each in (values, queries)]
    distances = ones[0].sum(1)[:, None] + ones[1].sum(1)[None] - 2 * ones[0] @ ones[1].T
    return {(int(r), int(q)): int(distances[r, q]) for r, q in np.argwhere(distances <= threshold)}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 300),
    asked=st.integers(0, 200),
    shape=st.sampled_from([(32, 31, 16), (32, 24, 16), (8, 6, 4), (8, 3, 4), (8, 0, 4)]),
    few=st.booleans(),
)
def test_finds_what_comparing_with_every_hash_finds(
    seed: int, size: int, asked: int, shape: tuple[int, int, int], few: bool
) -> None:
    width, threshold, chunks = shape
    random = np.random.default_rng(seed)
    values = random.integers(0, 256, (size, width), np.uint8)
    if few:  # crowded buckets
        values = near(values[:1], size, 3, random)
    queries = near(values, asked, threshold + 5, random)
    bits = [8 * width // chunks] * chunks
    radii = [int(chunk < threshold + 1 - chunks) for chunk in range(chunks)]
    radii = [radius if chunk <= threshold else -1 for chunk, radius in enumerate(radii)]
    assert sum(radius + 1 for radius in radii) > threshold
    index = spread(values, bits, radii)
    assert index is not None
    found = find_spread(index, hamming.as_words(queries), threshold)
    assert {(r, q): d for r, d, q in found.tolist()} == brute(values, queries, threshold)


def test_finds_beyond_the_threshold_what_the_multi_index_finds() -> None:
    random = np.random.default_rng(3)
    values = random.integers(0, 256, (5000, 32), np.uint8)
    queries = hamming.as_words(near(values, 4000, 45, random))
    bits = chunking.chunk_bits(32, len(values), 31)
    radii = chunking.radii(bits, len(values), 31)
    index = spread(values, bits, radii or ())
    assert index is not None
    pairs = hamming.find_pairs(values, indexing.build_index(values, 31), queries, 39, radii or ())
    found = {tuple(pair) for pair in find_spread(index, queries, 39).tolist()}
    assert found == {tuple(pair) for pair in pairs.tolist()}
    assert max(distance for _, distance, _ in found) > 31


def test_one_bucket_that_holds_every_hash() -> None:
    values = np.zeros((1 << 16, 8), np.uint8)
    index = spread(values, [16] * 4, [0, -1, -1, -1])
    assert index is not None
    queries = hamming.as_words(np.zeros((3, 8), np.uint8))
    assert len(find_spread(index, queries, 0)) == 3 << 16


@pytest.mark.parametrize(
    ("size", "bits", "radii"),
    [((1 << 16) + 1, [16] * 4, [1] * 4), (1, [16] * 4, [2] * 4), (1, [32] * 2, [1] * 2)],
)
def test_what_would_become_too_large(size: int, bits: list[int], radii: list[int]) -> None:
    assert spread(np.zeros((size, 8), np.uint8), bits, radii) is None
