"""Writing what stays of a tar shard: raw spans in their order, then the end-of-archive marker."""

import gzip
from typing import Any, cast

from ingestgate.assets import storage
from ingestgate.assets.containers.container import OutputFile
from ingestgate.assets.containers.output import PendingOutput
from ingestgate.assets.containers.tar import BLOCK, RECORD, Span
from ingestgate.assets.pending import Pending
from ingestgate.assets.shard import Sample, Shard, WorkRange

_CHUNK = 1 << 20


class TarWriter(Pending):
    """Writes a tar shard's kept samples exactly as they stood (a `container.SampleWriter`).

    A plain shard that nothing was dropped from comes out byte for byte; a gzipped one with
    the same members, compressed without name and time.
    """

    def __init__(self, shard: Shard, output_root: str, *, compress: bool) -> None:
        self._shard = shard
        self._output = PendingOutput(output_root, shard.name)
        self._zip = (
            gzip.GzipFile("", "wb", fileobj=cast(Any, self._output), mtime=0) if compress else None
        )
        self._waiting: list[Span] = []
        self._written = 0
        self._dropped = False
        self._marked = False  # whether the end-of-archive marker has been written

    def begin(self, work: WorkRange) -> None:
        """Starts a range."""

    def keep(self, sample: Sample) -> None:
        """Writes a sample exactly as it stood."""
        self._arrive(sample, spans(sample))

    def drop(self, sample: Sample) -> None:
        """Leaves a sample out, save global headers, which hold for what follows."""
        self._dropped = True
        self._arrive(sample, tuple(span for span in spans(sample) if span.structural))

    def end(self, work: WorkRange) -> None:
        """Ends a range."""
        self._write_before(work.stop)

    def complete(self) -> None:
        """Writes the end of the archive and makes it all durable under its temporary name."""
        if self._output.closed:
            return
        self._write_before(None)
        if not self._marked:
            self._write_ending()
        if self._zip:
            self._zip.close()
        self._output.complete()

    def publish(self) -> list[OutputFile]:
        """Completes the tar and renames it to its final name."""
        self.complete()
        return [self._output.publish()]

    def discard(self) -> None:
        """Removes what is not published."""
        self._output.discard()

    def _arrive(self, sample: Sample, kept: tuple[Span, ...]) -> None:
        # Samples come in the order of their first members, but a skipped member may stand
        # between two members of a sample: what lies behind a newcomer waits.
        self._waiting += kept
        self._write_before(sample.members[0].position)

    def _write_before(self, offset: int | None) -> None:
        if not self._waiting:
            return
        self._waiting.sort()
        ready = [span for span in self._waiting if offset is None or span.offset < offset]
        del self._waiting[: len(ready)]
        for span in ready:
            for part in span.parts:
                self._write(part)
            self._marked = self._marked or not span.parts[0][:BLOCK].strip(b"\0")

    def _write(self, content: bytes) -> None:
        (self._zip or self._output).write(content)
        self._written += len(content)

    def _write_ending(self) -> None:
        zeros = 0 if self._zip or self._dropped else self._zeros_at_the_end()
        if not zeros:
            zeros = 2 * BLOCK
            zeros += -(self._written + zeros) % RECORD
        while zeros:
            self._write(bytes(min(zeros, _CHUNK)))
            zeros -= min(zeros, _CHUNK)

    def _zeros_at_the_end(self) -> int:
        """Returns how many zeros the input ends with after what was written; 0 if others."""
        zeros = 0
        with storage.open_read(self._shard.path) as source:
            source.seek(self._written)
            while part := source.read(_CHUNK):
                if part.strip(b"\0"):
                    return 0
                zeros += len(part)
        return zeros


def spans(sample: Sample) -> tuple[Span, ...]:
    """Returns the raw bytes of a sample that a tar reader yielded."""
    return cast(tuple[Span, ...], sample.raw)
