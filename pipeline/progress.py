"""Progress for people: rate, time left and verdicts while a run goes on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ingestgate.assets.verdict import Verdict
from ingestgate.pipeline.plan import Plan
from ingestgate.transforms.progress import read_notes
from ingestgate.transforms.settings import RunSettings

_LINE_EVERY_S = 10.0


class ProgressDisplay:
    """Shows how far a run is, on standard error.

    A terminal gets moving bars, a log file a line every ten seconds.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(file=sys.stderr)

    @contextmanager
    def running(self, plan: Plan, settings: RunSettings) -> Iterator[Callable[[], None]]:
        """Yields a function to call now and then while the job runs."""
        total = sum(shard.size for shard in plan.todo)
        if self._quiet or not settings.progress:
            yield lambda: None
        elif self._console.is_terminal:
            with self._bars(total, settings) as poll:
                yield poll
        else:
            yield self._lines(total, settings)

    @contextmanager
    def _bars(self, total: int, settings: RunSettings) -> Iterator[Callable[[], None]]:
        with Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            transient=True,
        ) as bars:
            judge = bars.add_task("judge", total=total, detail="")
            commit = None if settings.dry_run else bars.add_task("commit", total=total, detail="")
            started = time.monotonic()

            def poll() -> None:
                notes = read_notes(settings.progress)
                detail = _detail(notes, time.monotonic() - started)
                bars.update(judge, completed=notes["judged_bytes"], detail=detail)
                if commit is not None:
                    bars.update(commit, completed=notes["committed_bytes"])

            yield poll

    def _lines(self, total: int, settings: RunSettings) -> Callable[[], None]:
        started = shown = time.monotonic()

        def poll() -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown < _LINE_EVERY_S:
                return
            shown = now
            notes = read_notes(settings.progress)
            done = notes["judged_bytes"] / total if total else 1.0
            left = f"{(now - started) * (1 - done) / done:.0f} s" if done else "an unknown time"
            self._console.print(
                f"judged {done:.0%}, committed {notes['committed_bytes'] / max(total, 1):.0%}, "
                f"about {left} of judging left; {_detail(notes, now - started)}",
                highlight=False,
                soft_wrap=True,
            )

        return poll


def _detail(notes: dict[str, int], seconds: float) -> str:
    counts = {verdict.value: notes.get(verdict.value, 0) for verdict in Verdict}
    rate = sum(counts.values()) / seconds if seconds else 0.0
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{rate:.0f} assets/s; {shown}"
