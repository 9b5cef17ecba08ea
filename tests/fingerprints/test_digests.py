import hashlib
from collections.abc import Sequence

import pytest

from ingestgate.fingerprints import digest_lanes
from ingestgate.fingerprints.digest_steps import STEPS
from ingestgate.fingerprints.digests import DIGESTS, digests, digests_of


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1_000_003])
def test_equal_to_hashlib_whatever_the_chunks(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    assert digests(content) == {name: hashlib.new(name, content).hexdigest() for name in DIGESTS}


def test_others_by_name() -> None:
    names = ("sha512", "sha384", "blake2b")
    content = b"x" * ((1 << 18) + 1)
    assert digests(content, names) == {n: hashlib.new(n, content).hexdigest() for n in names}


def test_published_values() -> None:
    assert digests(b"abc") == {
        "md5": "900150983cd24fb0d6963f7d28e17f72",
        "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }


LONG, SHORT = bytes(range(256)) * 400, b"{}"


@pytest.mark.parametrize(
    ("contents", "in_many", "in_two"),
    [
        ([], None, None),
        ([LONG] * 4 + [SHORT], None, None),  # too little for the start to be worth it
        ([SHORT, *[LONG[n:] for n in range(12)], b"", SHORT], 15, 15),
        ([LONG * 20], 0, 1),  # in one lane of many it would take longer
        ([LONG * 20, *[LONG] * 12, SHORT], 13, 14),
    ],
)
@pytest.mark.parametrize("names", [DIGESTS, ("sha1", "md5", "sha512"), ("sha256",)])
def test_those_of_many_are_those_of_each(
    monkeypatch: pytest.MonkeyPatch,
    contents: list[bytes],
    in_many: int | None,
    in_two: int | None,
    names: tuple[str, ...],
) -> None:
    digest_lanes.self_test()  # once, whichever test comes first
    taken = {}
    many = digest_lanes.digest_many

    def counting(name: str, some: Sequence[bytes]) -> list[bytes]:
        taken[name] = len(some)
        return many(name, some)

    monkeypatch.setattr(digest_lanes, "digest_many", counting)
    found = digests_of(contents, names)
    assert found == [digests(content, names) for content in contents]
    assert [list(each) for each in found] == [list(names)] * len(contents)
    laned = {name for name in names if name in STEPS and in_many is not None}
    assert taken == {name: in_two if STEPS[name].lanes == 2 else in_many for name in laned}
