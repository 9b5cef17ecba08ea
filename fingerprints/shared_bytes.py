"""Memory that the gate writes and the decoder's process only reads: how assets' bytes get there.

Through a socket they would be copied twice, a little at a time, and for each little the two
processes would take turns.
"""

import mmap
import os
import sys
from collections.abc import Sequence
from contextlib import suppress


class SharedBytes:
    """Room for the bytes of some contents at a time, to be read by one other process.

    Args:
        size: How many bytes there is room for; none where the system has no such memory.

    Attributes:
        descriptor: By which the other process maps it (see `map_shared`), and cannot write; None:
            there is no room.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor: int | None = None
        self._memory: mmap.mmap | None = None
        if sys.platform == "linux":
            with suppress(OSError):
                self._share()

    def put(self, contents: Sequence[bytes]) -> bool:
        """Puts contents, one after another, where others were; returns whether there is room."""
        if self._memory is None or sum(map(len, contents)) > self.size:
            return False
        self._memory.seek(0)
        for content in contents:
            self._memory.write(content)
        return True

    def close(self) -> None:
        """Lets go of it; the other process keeps what it has mapped."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _share(self) -> None:
        descriptor = os.memfd_create("assets")
        try:
            os.ftruncate(descriptor, self.size)
            # Opened anew, as what is mapped by one that writes can be made writable.
            self.descriptor = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
            self._memory = mmap.mmap(descriptor, self.size)
        finally:
            os.close(descriptor)


def map_shared(descriptor: int | None, size: int) -> memoryview:
    """Maps such memory, to read; afterwards the descriptor is not needed any more."""
    if descriptor is None:
        return memoryview(b"")
    return memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))
