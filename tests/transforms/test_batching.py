from ingestgate.assets.shard import Kind, Member, Sample
from ingestgate.transforms.batching import batches


def sizes(*contents: bytes | None, kind: Kind = Kind.PICTURE) -> list[int]:
    members = [Member(str(n), n, content, kind) for n, content in enumerate(contents)]
    found = list(batches(Sample(each.name, (each,)) for each in members))
    assert [each.key for batch in found for each in batch] == [each.name for each in members]
    return [len(batch) for batch in found]


def test_so_many_samples_or_so_many_bytes() -> None:
    assert sizes() == []
    assert sizes(*[b"x"] * 600) == [256, 256, 88]
    assert sizes(*[bytes(12 << 20)] * 7) == [3, 3, 1]


def test_what_only_the_container_has_read_counts_as_much_as_it_may_be() -> None:
    """A sparse member of a tar: its bytes are in memory, and in no content."""
    assert sizes(b"x", None, None, b"x", kind=Kind.OTHER) == [2, 1, 1]
    assert sizes(*[None] * 300, kind=Kind.REFERENCE) == [256, 44]
