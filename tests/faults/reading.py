"""Faults of what only looks: every question to a file system can be left without an answer."""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.layer import ERRORS

#: What a broken disk, a server that has forgotten a handle, and a locked folder answer.
ANSWERS = {**{name: ERRORS[name] for name in ("EIO", "EACCES")}, "ESTALE": errno.ESTALE}


class ReadingLayer:
    """Counts what asks about, lists or opens for reading what lies below some folders.

    Args:
        patch: Sets an attribute, as `pytest.MonkeyPatch.setattr` does; undoing is its matter.
        below: Only paths below these count.

    Attributes:
        questions: Name and path of each so far, while it counts.
        at: Number of the one that gets no answer; None answers them all.
        answer: What it gets instead: one of `ANSWERS`.
        counts: Whether it is at work.
    """

    def __init__(self, patch: Callable[[Any, str, Any], None], *below: Path) -> None:
        self._below = tuple(os.path.join(folder, "") for folder in below)
        self.questions: list[tuple[str, str]] = []
        self.at: int | None = None
        self.answer = "EIO"
        self.counts = False
        for name in ("stat", "lstat", "scandir", "listdir"):
            patch(os, name, self._asking(name, getattr(os, name)))
        opened = self._opening(builtins.open)
        patch(builtins, "open", opened)
        patch(io, "open", opened)

    def _ask(self, name: str, target: object) -> None:
        path = os.fspath(target) if isinstance(target, str | os.PathLike) else ""
        if not self.counts or not isinstance(path, str) or not path.startswith(self._below):
            return
        self.questions.append((name, path))
        if self.at == len(self.questions) - 1:
            code = ANSWERS[self.answer]
            raise OSError(code, os.strerror(code), path)

    def _asking(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any = ".", *arguments: Any, **more: Any) -> Any:
            self._ask(name, target)
            return real(target, *arguments, **more)

        return call

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if not set(mode) & set("wxa+"):
                self._ask("open", target)
            return real(target, mode, *arguments, **more)

        return call
