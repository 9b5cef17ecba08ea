"""What is written under temporary names until it is published."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Pending(ABC):
    """A context manager that discards what has not been published when the block ends."""

    @abstractmethod
    def discard(self) -> None:
        """Removes what is not published; does nothing for what is."""

    def __enter__(self) -> Self:
        """Starts the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the block."""
        self.discard()
