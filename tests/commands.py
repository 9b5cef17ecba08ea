"""Every command of the command line, by the words that call it."""

from collections.abc import Iterator

import click

from ingestgate.pipeline.cli import cli


def every_command(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command
