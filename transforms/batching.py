"""Samples by the few: together they take less time than one by one."""

from collections.abc import Iterable, Iterator

from ingestgate.assets.shard import Sample

_SAMPLES = 32
_BYTES = 8 << 20


def batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Yields samples by the few, so that little of a shard is held in memory at a time."""
    batch: list[Sample] = []
    size = 0
    for sample in samples:
        batch.append(sample)
        size += sum(len(member.content or b"") for member in sample.members)
        if len(batch) == _SAMPLES or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
