"""Samples by the few: together they take less time than one by one."""

from collections.abc import Iterable, Iterator

from ingestgate.assets.shard import Kind, Member, Sample

#: At most so many, or as many as have so many bytes, are judged together.
SAMPLES = 256
BYTES = 32 << 20


def batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Yields samples by the few, so that little of a shard is held in memory at a time."""
    batch: list[Sample] = []
    size = 0
    for sample in samples:
        batch.append(sample)
        size += sum(map(_size, sample.members))
        if len(batch) == SAMPLES or size >= BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(member: Member) -> int:
    if member.content is None and member.kind is not Kind.REFERENCE:
        return BYTES  # it has bytes, which only the container has seen
    return len(member.content or b"")
