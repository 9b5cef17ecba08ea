"""Options that take several values at once, as a shell's globbing hands them over."""

from collections.abc import Sequence
from typing import Any

import click


class SeveralValuesCommand(click.Command):
    """A command whose repeatable options also take several values after one flag.

    ``--input a b c`` is read as ``--input a --input b --input c``; a value that starts with a
    dash, and everything after ``--``, is left alone.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spreads the values, then parses as usual."""
        flags = {
            flag
            for parameter in self.params
            if isinstance(parameter, click.Option) and parameter.multiple
            for flag in parameter.opts
        }
        return super().parse_args(ctx, spread(args, flags))


def spread(arguments: Sequence[str], flags: set[str]) -> list[str]:
    """Repeats a flag before each further value that follows it."""
    result: list[str] = []
    flag = ""
    expecting = False
    for number, argument in enumerate(arguments):
        if argument == "--":
            return result + list(arguments[number:])
        if argument.startswith("-"):
            flag = argument if argument in flags else ""
            expecting = bool(flag)
        elif flag and not expecting:
            result.append(flag)
        else:
            expecting = False
        result.append(argument)
    return result


def several(*names: str, **settings: Any) -> Any:
    """A click option that may be repeated, or given several values at once."""
    return click.option(*names, multiple=True, **settings)
