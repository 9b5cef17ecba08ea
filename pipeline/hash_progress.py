"""How far a command is that hashes a dataset, for people."""

import sys

import click


class HashProgress:
    """Says it on standard error: on a terminal on one line, elsewhere every ten seconds.

    A `hashing.Show`; it is called about every half second.
    """

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, done: int, total: int, rate: float) -> None:
        """Says how many bytes are done, how fast, and how long the rest will take."""
        left = max(total - done, 0) / max(rate, 1.0)
        text = f"{done / 1e9:.1f} of {total / 1e9:.1f} GB, {rate / 1e9:.2f} GB/s, {left:.0f} s left"
        if sys.stderr.isatty():
            click.echo(f"\r{text}\033[K", nl=done >= total, err=True)
            return
        self._calls += 1
        if self._calls % 20 == 0:
            click.echo(text, err=True)
