"""A listing has a line for each file, and its digest stands for the folder."""

import hashlib

from ingestgate.assets.listing import listing, listing_sha256

FILES = [("é", "00"), ("b", "11"), ("a/\udcff", "22")]


def test_lines_are_sorted_by_the_bytes_of_paths() -> None:
    assert listing(FILES) == b"22  a/\xff\n11  b\n00  \xc3\xa9\n"
    assert listing(FILES[::-1]) == listing(FILES)
    assert listing([]) == b""


def test_the_digest_is_of_the_listing() -> None:
    assert listing_sha256(FILES) == hashlib.sha256(listing(FILES)).hexdigest()
    assert listing_sha256(FILES) != listing_sha256(FILES[:2])
